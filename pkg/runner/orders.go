package runner

import (
	"fmt"
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// orders are those of the shim, which says Go without waiting for the module to
// be loaded.
type orders struct {
	*job.Control
	free bool // Go has come
}

// next waits for the next order about code. The file is the caller's.
func (o *orders) next() (job.Order, *os.File, error) {
	for {
		order, file, err := o.Receive()
		if err != nil || order != job.Go {
			return order, file, err
		}
		o.free = true
	}
}

// waitGo waits until the guest may run. The error is io.EOF if the shim is gone.
func (o *orders) waitGo() error {
	if o.free {
		return nil
	}
	order, file, err := o.Receive()
	if err == nil && order != job.Go {
		if file != nil {
			file.Close()
		}
		err = fmt.Errorf("the shim sent %q to a runner that is ready", order)
	}
	return err
}

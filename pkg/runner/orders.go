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
	entered bool // Enter has come
	free    bool // Go has come
	locked  bool // see lock
}

// waitEnter waits until the process is where it has to be. The file, a root to
// join, is the caller's.
func (o *orders) waitEnter() (*os.File, error) {
	order, file, err := o.Receive()
	if err == nil && order != job.Enter {
		if file != nil {
			file.Close()
		}
		return nil, fmt.Errorf("the shim sent %q to a runner that is outside of its room", order)
	}
	o.entered = err == nil
	return file, err
}

// waitProceed tells the shim that everything is mounted, and waits for its hooks.
func (o *orders) waitProceed() error {
	if err := o.Report(job.Report{Kind: job.Prepared}); err != nil {
		return err
	}
	order, file, err := o.Receive()
	if file != nil {
		file.Close()
	}
	if err == nil && order != job.Proceed {
		return fmt.Errorf("the shim sent %q to a runner that waits for hooks", order)
	}
	return err
}

// next waits for the next order about code. The file is the caller's.
func (o *orders) next() (job.Order, *os.File, error) {
	for {
		order, file, err := o.Receive()
		switch {
		case err != nil:
			return "", nil, err
		case order == job.Enter, order == job.Proceed, order == job.Terminate, order == job.Interrupt:
			if file != nil {
				file.Close()
			}
			return "", nil, fmt.Errorf("the shim sent %q to a runner that has no use for it", order)
		case order != job.Go:
			return order, file, nil
		}
		o.free = true
	}
}

// waitGo waits until the guest may run. The error is io.EOF if the shim is gone.
func (o *orders) waitGo() error {
	if o.free {
		return nil
	}
	var order job.Order
	var file *os.File
	var err error
	if o.locked {
		order, err = o.ReceiveBare()
	} else {
		order, file, err = o.Receive()
	}
	if err == nil && order != job.Go {
		if file != nil {
			file.Close()
		}
		err = fmt.Errorf("the shim sent %q to a runner that is ready", order)
	}
	o.free = err == nil
	return err
}

// waitGoAnyway is for a runner that has failed: whatever comes before Go is of no use
// to it any more.
func (o *orders) waitGoAnyway() {
	for !o.free {
		order, file, err := o.Receive()
		if err != nil {
			return
		}
		if file != nil {
			file.Close()
		}
		o.free = order == job.Go
	}
}

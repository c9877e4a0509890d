package direct

import (
	"fmt"
	"os"

	"github.com/containerd/console"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/stdio"
)

// ends are a process's standard streams, on its side.
type ends struct {
	in, out, err *os.File
	master       console.Console // nil without a terminal
	slave        *os.File
}

// openEnds takes the streams, or makes a pseudo terminal of the host for them.
func openEnds(streams *stdio.Streams, p *specs.Process, terminal bool) (*ends, error) {
	if !terminal {
		e := &ends{}
		e.in, e.out, e.err = streams.Files()
		return e, nil
	}
	master, path, err := console.NewPty()
	if err != nil {
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		master.Close()
		return nil, fmt.Errorf("open the terminal: %w", err)
	}
	if size := p.ConsoleSize; size != nil {
		_ = master.Resize(console.WinSize{Height: uint16(min(size.Height, 1<<16-1)), Width: uint16(min(size.Width, 1<<16-1))})
	}
	return &ends{in: slave, out: slave, err: slave, master: master, slave: slave}, nil
}

// close gives back what the process has its own of, and what nobody took.
func (e *ends) close() {
	if e.slave != nil {
		e.slave.Close()
	}
	if e.master != nil {
		e.master.Close()
	}
}

// attach hands the terminal over to the streams.
func (e *ends) attach(streams *stdio.Streams) error {
	if e.master == nil {
		return nil
	}
	master := e.master
	e.master = nil
	return streams.Attach(master)
}

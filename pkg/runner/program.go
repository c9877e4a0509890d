package runner

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi"
)

// program makes instances of a guest, each of which answers one request.
type program struct {
	guest *guest
	// plain is wasi.New's.
	plain bool
	// image is what each memory begins with, size bytes of it, or nil.
	image *linmem.Image
	size  uint64
	// starts tells that code of the guest runs when an instance is made.
	starts bool
	// first has been made to see whether it can be.
	first atomic.Pointer[instance]
}

var _ gateway.Program = (*program)(nil)

// prepare gets to know the module, and sees whether there can be an instance.
func (p *program) prepare(outline *wasmbin.Module, image *linmem.Image) error {
	p.image, p.size, p.starts = image, outline.MemoryPages*wasmbin.PageSize, outline.Starts
	first, err := p.instance()
	p.first.Store(first)
	return err
}

// Instance implements gateway.Program.
func (p *program) Instance() (gateway.Instance, error) {
	if first := p.first.Swap(nil); first != nil {
		return first, nil
	}
	i, err := p.instance()
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (p *program) instance() (_ *instance, err error) {
	i := &instance{program: p}
	defer func() {
		if err != nil {
			i.Discard()
			i.closeOurs()
		}
	}()
	if i.memory, err = p.guest.memory.Instance(p.size, p.image); err != nil {
		return nil, scarce(err)
	}
	if err := i.connect(); err != nil {
		return nil, scarce(err)
	}
	if p.starts { // it needs its environment first
		return i, nil
	}
	return i, i.instantiate()
}

// scarce marks an error that may be none when another instance has ended.
func scarce(err error) error {
	for _, e := range []error{linmem.ErrBudget, unix.ENOMEM, unix.EMFILE, unix.ENFILE} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", gateway.ErrNoRoom, err)
		}
	}
	return err
}

// connect makes the pipes, and what the instance sees.
func (i *instance) connect() error {
	var in, out [2]int
	if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		unix.Close(in[0])
		unix.Close(in[1])
		return fmt.Errorf("make a pipe: %w", err)
	}
	var err error
	if i.system, err = wasi.NewBetween(i.program.guest.job, i.program.plain, in[0], out[1]); err != nil {
		unix.Close(in[0])
		unix.Close(out[1])
	}
	i.stdin, i.stdout = ours(in[1], "standard input"), ours(out[0], "standard output")
	return err
}

// ours makes a file of an end of a pipe that has deadlines.
func ours(fd int, name string) *os.File {
	_ = unix.SetNonblock(fd, true) // without it there would be no deadlines
	return os.NewFile(uintptr(fd), name)
}

package preview1

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
)

// System is what one instance of a guest sees of its surroundings. It is for one
// call at a time, as instances are.
type System struct {
	args, env []string
	files     table
	yielder   *yielder
	clock     clocks
	poller    poller
	listing   listing
	ways      ways
	buffers   [][]byte    // of the last call, see vectors
	iovecs    []iovec     // of the last call, see scatter
	stat      unix.Stat_t // of the last call
	network   network.Policy
	stopper   *stopper
}

// Config describes a System. The descriptors are handed over: Close closes them.
type Config struct {
	// Args are the guest's arguments, its name first.
	Args []string
	// Env is its environment as KEY=VALUE; as execve does, only what has a name is
	// passed on.
	Env []string
	// Stdio are the host's descriptors that become 0, 1 and 2.
	Stdio [3]int
	// SharedStderr tells that others use what standard error is, too: what the guest
	// does to its flags must not be for all of them.
	SharedStderr bool
	// Preopens become the descriptors from 3 on.
	Preopens []Preopen
	// Clock is the finest difference in time that it sees; 0 is the kernel's.
	Clock time.Duration
	// Network is how far it may use the network.
	Network network.Policy
	// Stoppable allows Stop.
	Stoppable bool
}

// Preopen is a descriptor that a guest finds open when it starts.
type Preopen struct {
	// FD is the host's, of a directory or a socket.
	FD int
	// Name is the guest's name for a directory, "" for a socket.
	Name string
	// ReadOnly makes a directory look like a file system that is mounted so: what
	// would change it is EROFS.
	ReadOnly bool
	// Confined tells that a directory is the root of this process, and that no procfs
	// is below. Then the kernel resolves paths, as it would not lead them out: faster
	// than to do that here, with the same result.
	Confined bool
	// Patient is for a socket that does not block, and says so: calls wait all the
	// same, until the guest has looked at its flags or set them. Who does not know
	// that it does not block does not expect EAGAIN.
	Patient bool
}

// New returns a System. The error is a sentence about an argument, a variable or a
// descriptor that cannot be passed on; then nothing has been handed over.
func New(c Config) (*System, error) {
	s := &System{args: c.Args, yielder: newYielder(), network: c.Network}
	if c.Stoppable {
		s.stopper = new(stopper)
	}
	var err error
	if s.clock, err = newClocks(c.Clock); err != nil {
		return nil, err
	}
	s.env = named(c.Env)
	if err := checkStrings("argument", s.args); err != nil {
		return nil, err
	}
	if err := checkStrings("environment variable", s.env); err != nil {
		return nil, err
	}
	for _, fd := range c.Stdio {
		d, err := newDescriptor(fd)
		if err != nil {
			return nil, err
		}
		s.files.slots = append(s.files.slots, d)
	}
	if c.SharedStderr {
		s.files.slots[2].keepFlags()
	}
	for _, p := range c.Preopens {
		if err := s.Add(p); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Add opens one more descriptor for a guest that has not started yet, with the next
// number. It hands it over, unless there is an error.
func (s *System) Add(p Preopen) error {
	d, err := newPreopen(p)
	if err != nil {
		return err
	}
	d.patient = p.Patient
	if d.listens {
		s.stopper.listens(d)
	}
	s.files.slots = append(s.files.slots, d)
	return nil
}

// vectors are the buffers that iovecs name, until the next call.
func (s *System) vectors(m memory, at, count uint32) (_ [][]byte, e Errno) {
	s.buffers, e = m.vectors(at, count, s.buffers[:0])
	return s.buffers, e
}

// named are the variables that have a name.
func named(env []string) (named []string) {
	for _, variable := range env {
		if name, _, ok := strings.Cut(variable, "="); ok && name != "" {
			named = append(named, variable)
		}
	}
	return named
}

// checkStrings refuses what cannot be passed on as a C string.
func checkStrings(kind string, list []string) error {
	for _, s := range list {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("%s %q contains a zero byte", kind, s)
		}
	}
	return nil
}

// Close closes all descriptors.
func (s *System) Close() {
	s.ways.clear()
	s.files.closeAll()
}

type systemKey struct{}

// WithSystem returns a context for calls of the instance that sees s.
func WithSystem(ctx context.Context, s *System) context.Context {
	return context.WithValue(ctx, systemKey{}, s)
}

// systemOf panics in a call without a System, which is a fault of the program.
func systemOf(ctx context.Context) *System { return ctx.Value(systemKey{}).(*System) }

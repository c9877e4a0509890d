package quick

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"
	"syscall"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle/names"
)

const (
	// lockTimeout bounds waiting for another start or delete.
	lockTimeout = 10 * time.Second
	// removeDeadTimeout bounds waiting for the lock of a dead shim's socket.
	removeDeadTimeout = 500 * time.Millisecond
)

// Start is a process with the action start.
type Start struct {
	Command
	// Environ is the environment as KEY=VALUE.
	Environ []string
	// Dir is the working directory, which is the bundle.
	Dir string
	// Stdin is all that there is to read.
	Stdin []byte
	// Answer writes to standard output.
	Answer func([]byte) error
	// Executable is the daemon's binary. Empty means the running binary.
	Executable string

	// Group, Options and JoinCgroup are for what this package is not sure of:
	// the group of the container, options in an encoded Any, and a cgroup in the
	// options. Without the first two Run may return ErrUnsure; the third is called
	// only for what Options has returned.
	Group      func() (string, error)
	Options    func(typeURL string, value []byte) (Options, error)
	JoinCgroup func(cgroup string, pid int) error
}

// Run answers with the address of the shim for a container: the one of its
// group if it runs, else a new one. The socket accepts connections before the
// daemon is up, so there is nothing to wait for.
//
// A start that fails leaves nothing. One that is killed leaves at most what
// delete finds: the bundle says where the socket is before there is one.
func (s *Start) Run(ctx context.Context) error {
	ps, err := s.readParams()
	if err != nil {
		return err
	}
	g, err := group(s.Dir, s.ID)
	if errors.Is(err, ErrUnsure) && s.Group != nil {
		g, err = s.Group()
	}
	if err != nil {
		return err
	}
	socket, err := SocketPath(ps.socketDir, ps.grpcAddress, s.Namespace, g)
	if err != nil {
		return err
	}
	record := append(append([]byte(`{"version":`+strconv.Itoa(names.SocketVersion)+`,"path":`), quote(socket)...), '}')
	if err := replaceFile(s.Dir+"/"+names.Socket, record); err != nil {
		return err
	}
	undo, err := s.provide(ctx, &ps, socket)
	if err != nil {
		return err
	}
	if err := s.answer(&ps, Scheme+socket); err != nil {
		undo()
		return err
	}
	return nil
}

// answer tells containerd where the shim listens. containerd 1.6 and 1.7 look for
// the file "address" after a restart.
func (s *Start) answer(ps *params, address string) error {
	if !ps.modern {
		if err := replaceFile(s.Dir+"/"+names.Address, []byte(address)); err != nil {
			return err
		}
	}
	return WriteAnswer(s.Answer, ps.answer(address))
}

// WriteAnswer writes what containerd reads.
func WriteAnswer(write func([]byte) error, answer []byte) error {
	if err := write(answer); err != nil {
		return &failure{"write answer", err}
	}
	return nil
}

// provide makes sure that a daemon serves the socket. undo takes back what was
// done for this container.
func (s *Start) provide(ctx context.Context, ps *params, socket string) (undo func(), err error) {
	// 0700: who can reach the socket controls the containers (CVE-2020-15257).
	if err := os.MkdirAll(path.Dir(socket), 0o700); err != nil {
		return nil, &failure{"create socket directory", err}
	}
	lk, err := LockSocket(ctx, lockTimeout, socket)
	if err != nil {
		return nil, err
	}
	defer lk.Unlock()
	alive, err := Listening(socket)
	if err != nil {
		return nil, err
	}
	if alive {
		return Announce(socket, s.ID)
	}
	if err := remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{"remove the socket of a dead shim", err}
	}
	listener, err := Listen(socket)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(listener)
	kill, err := s.spawn(ps, socket, listener)
	if err != nil {
		_ = remove(socket)
		return nil, err
	}
	return func() { kill(); removeDead(socket) }, nil
}

// removeDead removes a socket that nobody serves; best effort.
func removeDead(socket string) {
	lk, err := LockSocket(context.Background(), removeDeadTimeout, socket)
	if err != nil {
		return
	}
	defer lk.Unlock()
	if alive, err := Listening(socket); err == nil && !alive {
		_ = remove(socket)
	}
}

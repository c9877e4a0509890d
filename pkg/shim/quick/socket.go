package quick

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"
	"syscall"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/version/name"
)

// Scheme is in front of a socket's path in an address.
const Scheme = "unix://"

// maxSocketPath is the longest path that fits into sockaddr_un (unix(7)).
const maxSocketPath = 107

// SocketPath is where the shim of a group listens. Like in containerd's own shims it
// is a hash, because ids do not fit; unlike there, the runtime is a part of it: a pod
// may hold containers of several runtimes.
func SocketPath(dir, grpcAddress, namespace, group string) (string, error) {
	sum := sum256(path.Join(grpcAddress, namespace, group, name.Runtime))
	const digits = "0123456789abcdef"
	hash := make([]byte, 0, 2*len(sum))
	for _, b := range sum {
		hash = append(hash, digits[b>>4], digits[b&0xf])
	}
	socket := path.Join(dir, string(hash))
	if len(socket) > maxSocketPath {
		return "", errors.New("socket directory " + dir + " is too long: at most " + strconv.Itoa(maxSocketPath-len(hash)-1) + " bytes")
	}
	return socket, nil
}

// Announcement is a file beside the socket that start leaves when it sends a
// container to a daemon that runs already. It keeps the daemon from retiring
// before containerd has called Create.
func Announcement(socket, id string) string { return socket + "+" + id }

// Announce writes it; undo takes it back.
func Announce(socket, id string) (undo func(), err error) {
	path := Announcement(socket, id)
	fd, err := open(path, syscall.O_CREAT|syscall.O_TRUNC|syscall.O_WRONLY, 0o600)
	if err != nil {
		return nil, &failure{"announce the container to its shim", err}
	}
	_ = syscall.Close(fd) // nothing has been written
	return func() { _ = remove(path) }, nil
}

// Listening tells whether a process accepts connections at a path. A file that is
// no socket is an error.
func Listening(socket string) (bool, error) {
	fi, err := os.Lstat(socket)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &failure{"look for a shim", err}
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return false, errors.New(socket + " is in the way of the shim's socket and not a socket: remove it")
	}
	switch err := dial(socket); {
	case err == nil:
		return true, nil
	case errors.Is(err, syscall.EAGAIN): // the queue is full: busy, but alive
		return true, nil
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return false, nil
	default:
		return false, &failure{"look for a shim: dial unix " + socket, err}
	}
}

func dial(socket string) error {
	fd, err := newSocket()
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	for {
		err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: socket})
		if err != syscall.EINTR {
			return os.NewSyscallError("connect", err)
		}
	}
}

// Listen creates a socket that only its owner may use. The lock is held.
func Listen(socket string) (fd int, err error) {
	fd, err = newSocket()
	if err != nil {
		return -1, &failure{"listen", err}
	}
	// On Linux bind gives the file the mode of the socket, so there is no moment in
	// which others can connect.
	if err = os.NewSyscallError("fchmod", syscall.Fchmod(fd, 0o600)); err == nil {
		err = os.NewSyscallError("bind", syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}))
	}
	if err == nil {
		const backlog = 1<<16 - 1 // the kernel makes it net.core.somaxconn
		err = os.NewSyscallError("listen", syscall.Listen(fd, backlog))
	}
	if err != nil {
		_ = syscall.Close(fd)
		return -1, &failure{"listen: listen unix " + socket, err}
	}
	return fd, nil
}

func newSocket() (int, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	return fd, os.NewSyscallError("socket", err)
}

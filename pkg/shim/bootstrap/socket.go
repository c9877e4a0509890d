package bootstrap

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/version"
)

// scheme is in front of a socket's path in an address.
const scheme = "unix://"

// maxSocketPath is the longest path that fits into sockaddr_un (unix(7)).
const maxSocketPath = 107

// listenerFD is where start puts the listening socket of the daemon.
const listenerFD = 3

// announcementLife is how long an announced container keeps the daemon alive.
// containerd calls Create right after start.
const announcementLife = time.Minute

// socketPath is where the shim of a group listens. Like in containerd's own
// shims it is a hash, because ids do not fit; unlike there, the runtime is a part
// of it: a pod may hold containers of several runtimes.
func socketPath(dir, grpcAddress, namespace, group string) (string, error) {
	sum := sha256.Sum256([]byte(filepath.Join(grpcAddress, namespace, group, version.Runtime)))
	path := filepath.Join(dir, fmt.Sprintf("%x", sum))
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("socket directory %s is too long: at most %d bytes", dir, maxSocketPath-2*len(sum)-1)
	}
	return path, nil
}

// listening tells whether a process accepts connections at path. A file that is
// no socket is an error.
func listening(path string) (bool, error) {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a shim: %w", err)
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return false, fmt.Errorf("%s is in the way of the shim's socket and not a socket: remove it", path)
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		return true, conn.Close()
	case errors.Is(err, unix.EAGAIN): // the queue is full: busy, but alive
		return true, nil
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	return false, fmt.Errorf("look for a shim: %w", err)
}

// listen creates a socket that only its owner may use. The file is removed by
// Retire or delete, not when the listener is closed. The lock is held.
func listen(path string) (*net.UnixListener, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		// On Linux bind gives the file the mode of the socket, so there is no
		// moment in which others can connect.
		if cerr := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := c.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	return ul, nil
}

// Listener is the socket that start has passed to the daemon.
func (f *Flags) Listener() (*net.UnixListener, error) {
	file := os.NewFile(listenerFD, "listener")
	defer file.Close()
	l, err := net.FileListener(file)
	ul, ok := l.(*net.UnixListener)
	if err != nil || !ok {
		return nil, fmt.Errorf("no socket at file descriptor %d: containerd runs this program, see %s -help", listenerFD, program)
	}
	ul.SetUnlinkOnClose(false)
	return ul, nil
}

// announcement is a file beside the socket that start leaves when it sends a
// container to a daemon that runs already. It keeps the daemon from retiring
// before containerd has called Create.
func announcement(socket, id string) string { return socket + "+" + id }

// Created is called by the daemon for every Create, once idle (see Retire) knows
// of the container, so that its announcement no longer counts. It is also called
// when Create fails.
func (f *Flags) Created(id string) {
	if f.Socket != "" {
		_ = os.Remove(announcement(f.Socket, id))
	}
}

// Retire is called by the daemon when its last container is gone and before it
// answers Shutdown. It asks idle, with the socket locked, whether that is still
// so, and whether another container is announced. If the daemon may go it
// returns true: the socket is removed and closed, so the next start makes a new
// daemon. The caller then serves the connections that it has and exits.
//
// When ctx ends first, Retire returns false and the daemon stays: containerd
// calls Shutdown or delete again.
func (f *Flags) Retire(ctx context.Context, l net.Listener, idle func() bool) (bool, error) {
	if f.Socket == "" {
		return idle(), nil
	}
	lk, err := lockSocket(ctx, f.Socket)
	if errors.Is(err, fs.ErrNotExist) {
		// No directory, no socket: nobody can reach this daemon any more.
		return idle(), nil
	}
	if err != nil {
		return false, err
	}
	defer lk.unlock()
	// In this order: Create makes the container known before it removes the
	// announcement.
	if announced(f.Socket) || !idle() {
		return false, nil
	}
	if err := os.Remove(f.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("remove socket: %w", err)
	}
	_ = l.Close()
	return true, nil
}

// announced tells whether a container is on its way to the daemon, and forgets
// those that never came.
func announced(socket string) bool {
	entries, err := os.ReadDir(filepath.Dir(socket))
	if err != nil {
		return false
	}
	found := false
	prefix := filepath.Base(announcement(socket, ""))
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		fi, err := e.Info()
		if err != nil {
			continue
		}
		if age := time.Since(fi.ModTime()); age > announcementLife {
			_ = os.Remove(filepath.Join(filepath.Dir(socket), e.Name()))
			continue
		}
		found = true
	}
	return found
}

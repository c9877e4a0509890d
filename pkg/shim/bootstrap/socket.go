package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

// announcementLife is how long an announced container (see quick.Announce) keeps the
// daemon alive. containerd calls Create right after start.
const announcementLife = time.Minute

// retirePatience bounds waiting for the lock of the socket; the request's context
// usually ends before.
const retirePatience = time.Minute

// Listener is the socket that start has passed to the daemon.
func (f *Flags) Listener() (*net.UnixListener, error) {
	file := os.NewFile(quick.ListenerFD, "listener")
	defer file.Close()
	l, err := net.FileListener(file)
	ul, ok := l.(*net.UnixListener)
	if err != nil || !ok {
		return nil, fmt.Errorf("no socket at file descriptor %d: containerd runs this program, see %s -help", quick.ListenerFD, quick.Program)
	}
	ul.SetUnlinkOnClose(false)
	return ul, nil
}

// Created is called by the daemon for every Create, once idle (see Retire) knows
// of the container, so that its announcement no longer counts. It is also called
// when Create fails.
func (f *Flags) Created(id string) {
	if f.Socket != "" {
		_ = os.Remove(quick.Announcement(f.Socket, id))
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
	lk, err := quick.LockSocket(ctx, retirePatience, f.Socket)
	if errors.Is(err, fs.ErrNotExist) {
		// No directory, no socket: nobody can reach this daemon any more.
		return idle(), nil
	}
	if err != nil {
		return false, err
	}
	defer lk.Unlock()
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
	prefix := filepath.Base(quick.Announcement(socket, ""))
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

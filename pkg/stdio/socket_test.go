package stdio

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Whoever runs the guest relies on it: a runner without listeners cannot make the
// system calls with which sockets are read and written.
func TestNoStreamIsASocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "s-") // those of tests are too long
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	for _, socket := range []string{path, fmt.Sprintf("/proc/self/fd/%d", pair[0])} {
		for name, c := range map[string]Config{
			"stdin":          {Stdin: socket},
			"stdout":         {Stdout: socket},
			"stdout as file": {Stdout: "file://" + socket},
			"stderr":         {Stderr: socket},
		} {
			if s, err := Open(c); !errors.Is(err, unix.ENXIO) {
				t.Errorf("%s %s: %v", name, socket, err)
				if err == nil {
					s.Close()
				}
			}
		}
	}
}

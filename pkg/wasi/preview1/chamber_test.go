package preview1

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// chamber is a thread whose root is a directory, as that of a container's process is, in
// a mount namespace of its own: the rest of the process is where it was.
type chamber struct{ calls chan func() }

// newChamber returns one, and a descriptor of its root.
func newChamber(t testing.TB, dir string) (c *chamber, root int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can have another root")
	}
	c = &chamber{make(chan func())}
	entered := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the function
		var err error
		root, err = enter(dir)
		entered <- err
		for call := range c.calls {
			call()
		}
	}()
	t.Cleanup(func() { close(c.calls) })
	must(t, <-entered)
	return c, root
}

// enter makes a directory the root of this thread.
func enter(dir string) (root int, err error) {
	for _, step := range []func() error{
		func() error { return unix.Unshare(unix.CLONE_NEWNS) },
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount(dir, dir, "", unix.MS_BIND, "") },
		func() error { return unix.Chdir(dir) },
		func() error { return unix.PivotRoot(".", ".") },
		func() error { return unix.Unmount(".", unix.MNT_DETACH) },
	} {
		if err := step(); err != nil {
			return -1, err
		}
	}
	return unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// do calls f in there.
func (c *chamber) do(f func()) {
	done := make(chan struct{})
	c.calls <- func() { defer close(done); f() }
	<-done
}

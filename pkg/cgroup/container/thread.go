package container

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// Thread makes processes that are in their cgroup on v1 from the beginning: the
// thread itself goes there, which a single thread may without the lock that the
// kernel needs to move a process, clones, and comes back. To move a process into
// its cgroup takes a grace period of RCU, some ten milliseconds.
//
// While it is there, its process is a member to whoever lists them. So this is for a
// new cgroup without limits: with a memory limit, the kernel might choose this
// process to be killed for want of memory.
type Thread struct {
	layout *cgroupfs.Layout
	home   []int // "tasks" of each hierarchy, open
}

// NewThread prepares the calling thread, which must be locked to its goroutine.
func NewThread() (*Thread, error) {
	l, err := host()
	if err != nil {
		return nil, err
	}
	return newThread(l)
}

func newThread(l *cgroupfs.Layout) (*Thread, error) {
	t := &Thread{layout: l}
	// Not that of thread-self, which is the same here: see title.SetName.
	own, err := cgroupfs.Read("/proc/self", "cgroup")
	if err != nil {
		return nil, err
	}
	for _, h := range l.V1() {
		fd, err := cgroupfs.Open(h.Root+h.PathIn(own), tasks, unix.O_WRONLY)
		if errors.Is(err, os.ErrNotExist) { // in a container that sees no other cgroup than its own, as the root
			fd, err = cgroupfs.Open(h.Root, tasks, unix.O_WRONLY)
		}
		if err != nil {
			t.Close()
			return nil, fmt.Errorf("the thread's own cgroup: %w", err)
		}
		t.home = append(t.home, fd)
	}
	return t, nil
}

// tasks is the file to move single threads by. "0" is the one that writes.
const tasks = "tasks"

// Close is for a thread that visits no more cgroups.
func (t *Thread) Close() {
	for _, fd := range t.home {
		_ = unix.Close(fd)
	}
}

// ErrLost is the error of a thread that could not leave a cgroup.
var ErrLost = errors.New("the thread is lost in a container's cgroup")

// Visit calls do as a member of a cgroup that has been prepared, but for the unified
// hierarchy: see FD. It must be called by the thread.
func (t *Thread) Visit(c *Cgroup, do func() error) (err error) {
	if dir := c.layout.Dir("freezer", c.path); dir != "" && !c.layout.V2 {
		if state, err := cgroupfs.Read(dir, "freezer.state"); err != nil || state != string(thawed) {
			return fmt.Errorf("the cgroup %s is not to be entered: %s: %w", c.path, state, err)
		}
	}
	var entered []int
	defer func() {
		for _, i := range entered {
			err = errors.Join(err, t.leave(i))
		}
	}()
	for i, h := range c.layout.V1() {
		switch err := cgroupfs.Write(h.Root+c.path, tasks, "0"); {
		case err == nil:
			entered = append(entered, i)
		case !h.Optional:
			return fmt.Errorf("enter the cgroup %s: %w", c.path, err)
		}
	}
	return do()
}

// leave goes home, or anywhere else.
func (t *Thread) leave(hierarchy int) error {
	err := cgroupfs.WriteFD(t.home[hierarchy], "0")
	if err == nil || cgroupfs.Write(t.layout.Hierarchies[hierarchy].Root, tasks, "0") == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// cloneIntoCgroup tells whether clone3 knows CLONE_INTO_CGROUP (Linux 5.7, and no
// filter in the way). It asks with a number that no descriptor can have, which is
// found out before anything is cloned; older kernels call the structure too long.
var cloneIntoCgroup = sync.OnceValue(func() bool {
	const none = 1 << 31
	args := struct {
		flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
	}{flags: unix.CLONE_INTO_CGROUP, exitSignal: uint64(unix.SIGCHLD), cgroup: none}
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	return errno == unix.EINVAL
})

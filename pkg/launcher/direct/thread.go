package direct

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/container"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/ownthread"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// thread clones: it is the one thread of the shim that visits other namespaces.
// The kernel takes it for the parent of what it clones, so it lives as long as the
// shim: runners end with their parent.
//
// Its bounding set is empty, it has no_new_privs, and the children get their
// capabilities as inheritable ones. So nothing they execute later could ever have
// any, and the children need not say so themselves, which costs each a millisecond.
type thread struct {
	work chan func()

	mu   sync.Mutex
	home map[uintptr]*os.File // the shim's namespaces, by their CLONE_NEW… flag
	// cgroups visits those of v1.
	cgroups *container.Thread
}

// newThread starts the thread.
func newThread() (*thread, error) {
	t := &thread{work: make(chan func()), home: map[uintptr]*os.File{}}
	ready := make(chan error)
	ownthread.Go(func() {
		err := t.prepare()
		ready <- err
		if err != nil {
			return
		}
		for f := range t.work {
			f()
		}
	})
	return t, <-ready
}

func (t *thread) prepare() error {
	for name, flag := range visited {
		// Not those of thread-self, which are the same here: see title.SetName.
		f, err := os.Open("/proc/self/ns/" + name)
		if err != nil {
			return err
		}
		t.home[flag] = f
	}
	var err error
	if t.cgroups, err = container.NewThread(); err != nil {
		return err
	}
	if err := emptyBoundingSet(); err != nil {
		return err
	}
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}

// emptyBoundingSet is for this thread only. A root that executes a file has what is
// inheritable then.
func emptyBoundingSet() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	for i := range data {
		data[i].Inheritable = data[i].Permitted
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	for c := uintptr(0); ; c++ {
		switch err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); {
		case errors.Is(err, unix.EINVAL): // the kernel's last capability was the one before
			return nil
		case err != nil:
			return fmt.Errorf("reduce the bounding set: %w", err)
		}
	}
}

// start starts a program in namespaces that exist, by their CLONE_NEW… flags, and in
// a cgroup that has just been prepared; nil leaves it in the shim's.
func (t *thread) start(children *reaper.Reaper, program *reaper.Program, namespaces map[uintptr]*os.File, cgroup *container.Cgroup) (pid int, exits <-chan reaper.Exit, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	type result struct {
		pid   int
		exits <-chan reaper.Exit
		err   error
	}
	results := make(chan result, 1)
	t.work <- func() {
		var r result
		start := func() (err error) {
			r.pid, r.exits, err = children.StartProgram(program)
			return err
		}
		r.err = t.visit(namespaces, func() error {
			if cgroup == nil {
				return start()
			}
			return t.cgroups.Visit(cgroup, start)
		})
		results <- r
	}
	r := <-results
	return r.pid, r.exits, r.err
}

// errLost is the error of a thread that could not come home. It must not clone any
// more, and not end.
var errLost = errors.New("the shim's thread is lost in a container's namespace")

// visit calls do in namespaces and comes back.
func (t *thread) visit(namespaces map[uintptr]*os.File, do func() error) (err error) {
	var entered []uintptr
	defer func() {
		for _, flag := range entered {
			if e := unix.Setns(int(t.home[flag].Fd()), int(flag)); e != nil {
				err = errors.Join(err, fmt.Errorf("%w: %w", errLost, e))
			}
		}
	}()
	for flag, ns := range namespaces {
		if err := unix.Setns(int(ns.Fd()), int(flag)); err != nil {
			return fmt.Errorf("enter the namespace %s: %w", ns.Name(), err)
		}
		entered = append(entered, flag)
	}
	return do()
}

// Package cage makes a process of this program harmless, for ever: without
// privileges, files, network, other processes, or a way to any of them.
//
// The shim has put the process into namespaces of its own already.
package cage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/privilege"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/title"
)

// ErrShimGone is Enter's error if there is nobody left to work for.
var ErrShimGone = errors.New("the shim is gone")

// Cage is what a process in it has.
type Cage struct {
	Job    *compilejob.Job
	Module *os.File
	// Result takes the result. It is there also if Enter fails, unless the
	// process was not started by the shim.
	Result io.Writer
}

// Enter waits for the job and goes into the cage, with all threads.
func Enter() (*Cage, error) {
	if err := checkDescriptors(); err != nil {
		return &Cage{}, err
	}
	c := &Cage{Result: pipe(compilejob.FDResult)}
	if err := tidyDescriptors(); err != nil {
		return c, err
	}
	if err := keepOthersOut(); err != nil {
		return c, err
	}
	var err error
	if c.Job, err = readJob(); err != nil {
		return c, err
	}
	c.Module = os.NewFile(compilejob.FDModule, c.Job.Module)
	return c, confine(c.Job)
}

// keepOthersOut comes first: other processes of the same user must not have a
// moment in which they can attach to this one.
func keepOthersOut() error {
	if err := privilege.NoNewPrivileges(); err != nil {
		return err
	}
	return privilege.Isolate()
}

// confine makes the process harmless. Each step takes away something that the
// steps before it need.
func confine(j *compilejob.Job) error {
	if err := title.SetName("wazero-compiler"); err != nil {
		return err
	}
	// Whoever needs the CPU goes first.
	if err := privilege.OnAllThreads("lower the priority", unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, niceness); err != nil {
		return err
	}
	if err := privilege.EmptyRoot(); err != nil {
		return err
	}
	if err := dropCredentials(j.User); err != nil {
		return err
	}
	// Of these two, the kernel undoes what was asked for before credentials changed.
	if err := privilege.Isolate(); err != nil {
		return err
	}
	if err := privilege.DieWithParent(); err != nil {
		return err
	}
	if !shimAlive() {
		return ErrShimGone
	}
	debug.SetMemoryLimit(j.Memory / 2)
	// The Go runtime opens what it polls with at the first use of a timer; there
	// is no opening later on.
	time.Sleep(time.Nanosecond)
	if err := limit(j); err != nil {
		return err
	}
	if err := policy().Load(); err != nil {
		return fmt.Errorf("restrict the system calls: %w", err)
	}
	return nil
}

// niceness as nice(1) counts it; 19 is the most.
const niceness = 10

// secureBits are no_setuid_fixup and noroot, each with the bit that locks it
// (linux/securebits.h).
const secureBits = 1<<2 | 1<<3 | 1<<0 | 1<<1

// dropCredentials becomes a user, if there is one to become, and gives up all
// capabilities.
func dropCredentials(user int) error {
	// Neither user 0 nor a change of users has anything to do with capabilities
	// from now on: they are given up together, and none comes back.
	if err := privilege.OnAllThreads("separate user 0 from its capabilities", unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, secureBits, 0); err != nil {
		return err
	}
	if user != 0 {
		if err := privilege.LeaveGroups(); err != nil {
			return err
		}
		if err := privilege.Become(user); err != nil {
			return err
		}
	}
	return privilege.Drop(nil)
}

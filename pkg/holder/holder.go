package holder

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/inherited"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/privilege"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/room"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/title"
)

// Main is the role. It returns the exit status, if at all.
func Main() int {
	if err := run(); err != nil {
		report(err)
		return 1
	}
	return 0
}

// run does what the holder is told, and sleeps.
func run() error {
	if err := inherited.Close(FDReport + 1); err != nil {
		return err
	}
	unix.CloseOnExec(FDReport)
	// Exec of the binary is over.
	if err := unix.Close(FDBinary); err != nil {
		return fmt.Errorf("close descriptor %d: %w", FDBinary, err)
	}
	pipe := os.NewFile(FDJob, "job")
	j, err := decode(pipe)
	pipe.Close()
	if err != nil {
		return err
	}
	if err := settle(j); err != nil {
		return err
	}
	p, err := newProgram()
	if err != nil {
		return err
	}
	if err := confine(j, p); err != nil {
		return err
	}
	return p.become()
}

// settle finishes the namespaces, while the process may still do so.
func settle(j *Job) error {
	if j.Hostname != "" {
		if err := unix.Sethostname([]byte(j.Hostname)); err != nil {
			return fmt.Errorf("set the pod's host name to %q: %w", j.Hostname, err)
		}
	}
	for name, value := range j.Wished {
		_ = room.SetSysctl(name, value)
	}
	for name, value := range j.Sysctls {
		if err := room.SetSysctl(name, value); err != nil {
			return fmt.Errorf("set the pod's sysctl %s to %q: %w", name, value, err)
		}
	}
	return nil
}

// confine makes the process harmless. Each step takes away something that the
// steps before it need.
func confine(j *Job, p *program) error {
	// The kernel then reaps the children that the process never had: the orphans
	// of a shared PID namespace. This outlasts an exec, other than a handler.
	signal.Ignore(unix.SIGCHLD)
	if err := title.SetName(Title); err != nil {
		return err
	}
	if err := privilege.EmptyRoot(); err != nil {
		return err
	}
	if err := become(j.User); err != nil {
		return err
	}
	if err := privilege.Isolate(); err != nil {
		return err
	}
	// The kernel forgets this when credentials change, so it comes after. A shim
	// that ended before shows at FDShim.
	if err := privilege.DieWithParent(); err != nil {
		return err
	}
	if err := policy(p.fd).Load(); err != nil {
		return fmt.Errorf("restrict the system calls: %w", err)
	}
	return nil
}

// become becomes a user without capabilities. The bounding set goes first: it
// takes a capability to reduce it.
func become(user int) error {
	if err := privilege.DropBoundingSet(); err != nil {
		return err
	}
	if err := privilege.LeaveGroups(); err != nil && !errors.Is(err, unix.EPERM) { // denied in a user namespace
		return err
	}
	if err := privilege.Become(user); err != nil {
		return err
	}
	return privilege.Drop(nil)
}

// report tells the shim why there is no holder. The pipe may be full or closed.
func report(err error) {
	msg := []byte(err.Error())
	_, _ = unix.Write(FDReport, msg[:min(len(msg), MaxReport)])
}

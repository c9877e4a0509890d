package pod

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/holder"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/holder/tiny"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// cloneInside starts a holder in the user namespace that owns the pod's network
// namespace. containerd has made both (internal/cri/server, setupNetnsWithinUserns):
// only root of the owner may mount a sysfs, which containers do.
//
// A process of one thread joins the user namespace (tiny.Enter) and becomes our
// binary in the role of the midwife. That one is root there, so it may make the
// other namespaces, with a holder in them, which becomes the shim's child when the
// midwife ends.
func cloneInside(children *reaper.Reaper, c Config, p *pipes, network *os.File) (*launcher.Process, error) {
	owner, err := ownerOf(network)
	if err != nil {
		return nil, err
	}
	defer owner.Close()
	enter, err := tiny.Enter()
	if err != nil {
		return nil, fmt.Errorf("enter the pod's user namespace: %w", err)
	}
	defer enter.Close()
	answers, answer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer answers.Close()
	defer answer.Close()
	cmd := exec.Command("/proc/self/fd/7")
	cmd.Args = []string{job.ExecPath, holder.Title, argument(c.flags())}
	cmd.Env = environment(holder.RoleMidwife)
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout = p.stdin, answer
	cmd.ExtraFiles = []*os.File{p.binary, p.job, owner, p.report, enter}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}

	adoption := children.Adopt()
	defer adoption.Done()
	exits, err := startIn(children, cmd, network)
	if err != nil {
		return nil, err
	}
	answer.Close()
	p.closeTheirs() // so that only the midwife's end is the end of what it says
	if err := answers.SetReadDeadline(time.Now().Add(settled)); err != nil {
		return nil, err
	}
	said, err := io.ReadAll(io.LimitReader(answers, holder.MaxReport))
	if err != nil {
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("wait for the pod's holder: %w", err)
	}
	// Its end has to come first: until then the holder has another parent.
	end := <-exits
	reaper.Flush(cmd)
	pid, err := strconv.Atoi(strings.TrimSpace(string(said)))
	if err != nil {
		if len(said) == 0 {
			said = fmt.Appendf(nil, "exit status %d", end.Status)
		}
		return nil, fmt.Errorf("start a process in the pod's user namespace: %s", said)
	}
	return launcher.NewProcess(pid, adoption.Claim(pid), nil)
}

// startIn starts a command in a network namespace.
func startIn(children *reaper.Reaper, cmd *exec.Cmd, network *os.File) (exits <-chan reaper.Exit, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for ever: the thread goes with the goroutine
		err = inNetwork(network, func() (err error) {
			exits, err = children.StartCommand(cmd)
			return err
		})
	}()
	<-done
	return exits, err
}

// nsGetUserNS is NS_GET_USERNS (linux/nsfs.h).
const nsGetUserNS = 0xb701

// ownerOf returns the user namespace that owns a namespace.
func ownerOf(ns *os.File) (*os.File, error) {
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, ns.Fd(), nsGetUserNS, 0)
	runtime.KeepAlive(ns)
	if errno != 0 {
		return nil, fmt.Errorf("find the user namespace of %s: %w", ns.Name(), errno)
	}
	unix.CloseOnExec(int(fd))
	f := os.NewFile(fd, "user namespace")
	var mine, owner unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &mine) == nil && unix.Fstat(int(fd), &owner) == nil && mine.Ino == owner.Ino && mine.Dev == owner.Dev {
		f.Close()
		return nil, errors.New("the pod has a user namespace, but its network namespace belongs to the host's: containerd 2.1 or newer makes it inside")
	}
	return f, nil
}

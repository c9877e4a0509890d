package pod

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/holder"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/selfexe"
)

// started is a process that waits for its job.
type started struct {
	process     *launcher.Process
	alive       *os.File      // the shim's end of holder.FDShim
	job, report *os.File      // the shim's ends
	ended       chan struct{} // to be closed when the process has ended
}

// pipes are the files that a holder inherits, and the shim's ends of them.
type pipes struct {
	binary                *os.File
	stdin, job, report    *os.File // the holder's
	alive, toJob, reports *os.File // the shim's
}

func newPipes() (p *pipes, err error) {
	p = &pipes{}
	defer func() {
		if err != nil {
			p.closeTheirs()
			p.closeOurs()
		}
	}()
	if p.binary, err = selfexe.Open(); err != nil {
		return nil, err
	}
	if p.stdin, p.alive, err = os.Pipe(); err != nil {
		return nil, err
	}
	if p.job, p.toJob, err = os.Pipe(); err != nil {
		return nil, err
	}
	p.reports, p.report, err = os.Pipe()
	return p, err
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		f.Close() // of nil, too
	}
}

func (p *pipes) closeTheirs() { closeAll(p.binary, p.stdin, p.job, p.report) }
func (p *pipes) closeOurs()   { closeAll(p.alive, p.toJob, p.reports) }

// clone starts a holder in the pod's namespaces.
func clone(children *reaper.Reaper, c Config) (_ *started, retErr error) {
	p, err := newPipes()
	if err != nil {
		return nil, err
	}
	defer p.closeTheirs()
	defer func() {
		if retErr != nil {
			p.closeOurs()
		}
	}()
	s := &started{alive: p.alive, job: p.toJob, report: p.reports, ended: make(chan struct{})}
	network, err := openNetwork(c.Network)
	if err != nil {
		return nil, err
	}
	defer network.Close()
	if c.User != nil && network != nil {
		s.process, err = cloneInside(children, c, p, network)
	} else {
		s.process, err = cloneHere(children, c, p, network, s.ended)
	}
	return s, err
}

func openNetwork(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the pod's network namespace: %w", err)
	}
	return f, nil
}

// command is the holder in new namespaces.
func command(c Config, p *pipes) *exec.Cmd {
	cmd := exec.Command(job.ExecPath)
	cmd.Args = []string{job.ExecPath, holder.Title}
	cmd.Env = environment(holder.Role)
	cmd.Dir = "/"
	cmd.Stdin = p.stdin
	cmd.ExtraFiles = []*os.File{p.binary, p.job, p.report}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: uintptr(c.flags())}
	if c.User != nil {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = c.User.UIDs
		cmd.SysProcAttr.GidMappings = c.User.GIDs
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
		cmd.SysProcAttr.Credential = &syscall.Credential{} // its root
	}
	return cmd
}

// environment of a role, without the shim's own: nothing in it may steer the
// holder's Go runtime.
func environment(role string) []string {
	return []string{
		job.RoleEnv + "=" + role,
		"GOMAXPROCS=1",
		// Else the Go runtime keeps files of the shim's cgroup open.
		"GODEBUG=containermaxprocs=0,updatemaxprocs=0",
	}
}

// flags for clone(2). The mounts are always the holder's own: it must not hold
// those of the host.
func (c Config) flags() int {
	flags := unix.CLONE_NEWNS
	if c.UTS {
		flags |= unix.CLONE_NEWUTS
	}
	if c.IPC {
		flags |= unix.CLONE_NEWIPC
	}
	if c.PID {
		flags |= unix.CLONE_NEWPID
	}
	return flags
}

// cloneHere clones from a thread that is in the pod's network namespace for that
// moment. The thread stays until the holder has ended: the kernel takes a thread
// for the parent, whose end is the holder's.
func cloneHere(children *reaper.Reaper, c Config, p *pipes, network *os.File, ended <-chan struct{}) (*launcher.Process, error) {
	cmd := command(c, p)
	type result struct {
		exits <-chan reaper.Exit
		err   error
	}
	results := make(chan result)
	go func() {
		runtime.LockOSThread() // for ever: the thread goes with the goroutine
		var r result
		r.err = inNetwork(network, func() (err error) {
			r.exits, err = children.StartCommand(cmd)
			return err
		})
		results <- r
		if r.exits != nil {
			<-ended
		}
	}()
	r := <-results
	if r.exits == nil {
		return nil, r.err
	}
	return takeCharge(cmd, r.exits)
}

// takeCharge of a command that was started: from now on it is just a pid.
func takeCharge(cmd *exec.Cmd, exits <-chan reaper.Exit) (*launcher.Process, error) {
	process, err := launcher.NewProcess(cmd.Process.Pid, exits, nil)
	if err != nil {
		_ = cmd.Process.Kill()
		return nil, err
	}
	_ = cmd.Process.Release()
	return process, nil
}

// inNetwork calls do in a network namespace, on a thread that belongs to the
// caller, and comes back.
func inNetwork(network *os.File, do func() error) error {
	if network == nil {
		return do()
	}
	host, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer host.Close()
	if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace %s: %w", network.Name(), err)
	}
	err = do()
	// A thread that stayed would hold the namespace; it goes with the holder.
	_ = unix.Setns(int(host.Fd()), unix.CLONE_NEWNET)
	return err
}

// argument of a number, for a command line.
func argument(n int) string { return strconv.Itoa(n) }

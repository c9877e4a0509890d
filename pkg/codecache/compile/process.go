package compile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

const (
	// cgroupParent is the cgroup of all compilers of the node; it is there while
	// there is one.
	cgroupParent = "containerd-shim-wazero"
	cgroupPrefix = "compile-"
	// cgroupWeight is the share of all compilers together in the CPUs when
	// these are short; 100 is that of others. A container waits for the compiler:
	// much less would let its start take minutes on a busy node.
	cgroupWeight = 50
	// mostThreads is far more than a compiler has.
	mostThreads = 64
	// oomScore makes a compiler the first victim when the machine's memory is
	// short: it can be repeated.
	oomScore = 1000
	// endPatience is how long a killed process may take to end.
	endPatience = 10 * time.Second
)

// process is a compiler that runs. All but kill are for one goroutine.
type process struct {
	cmd     *exec.Cmd
	becomes int // the user that it makes itself; 0 if it is in a user namespace
	group   *cgroup.Group

	job    *os.File // what it is to do
	result *os.File
	said   *stderr

	exits <-chan reaper.Exit
	exit  *reaper.Exit // nil until it is known
}

// start starts a compiler that waits for its job.
func (t *task) start() (_ *process, retErr error) {
	p := &process{}
	var theirs []*os.File
	defer func() {
		closeFile(theirs...)
		if retErr != nil {
			closeFile(p.job, p.result)
			if p.said != nil {
				p.said.close()
			}
		}
	}()
	binary, err := t.binary()
	if err != nil {
		return nil, err
	}
	theirs = append(theirs, binary)
	var result, jobs, errs *os.File
	if p.result, result, err = os.Pipe(); err != nil {
		return nil, err
	}
	theirs = append(theirs, result)
	if jobs, p.job, err = os.Pipe(); err != nil {
		return nil, err
	}
	theirs = append(theirs, jobs)
	if p.said, errs, err = newStderr(); err != nil {
		return nil, err
	}
	theirs = append(theirs, errs)

	inherited := []*os.File{binary, t.module.File, result, jobs} // from compilejob.FDBinary on
	user := userFor(t.slot)
	if t.userNamespaces {
		p.cmd = t.command(inherited, errs)
		intoUserNamespace(p.cmd.SysProcAttr, user)
		p.exits, err = t.config.Start(p.cmd)
		if err == nil {
			return p, nil
		}
		if !lacksUserNamespaces(err) {
			return nil, err
		}
		t.warned.warn("compilers run without a user namespace of their own", err)
	}
	p.cmd, p.becomes = t.command(inherited, errs), user
	p.exits, err = t.config.Start(p.cmd)
	return p, err
}

func (t *task) command(inherited []*os.File, errs *os.File) *exec.Cmd {
	cmd := exec.Command(job.ExecPath)
	cmd.Args = []string{job.ExecPath, "wazero-compiler", argument(t.module.Name)}
	cmd.Env = append([]string{
		job.RoleEnv + "=" + compilejob.Role,
		"GOMAXPROCS=" + strconv.Itoa(t.workers),
		// Else the Go runtime keeps files of the shim's cgroup open.
		"GODEBUG=containermaxprocs=0,updatemaxprocs=0",
	}, t.environ...)
	cmd.Dir = "/"
	cmd.ExtraFiles = inherited
	cmd.Stderr = errs
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
		Setsid:     true,
		Pdeathsig:  unix.SIGKILL,
	}
	return cmd
}

// argument is what ps shows.
func argument(name string) string {
	const most = 200
	name, _, _ = strings.Cut(name, "\x00")
	return name[:min(len(name), most)]
}

// enterCgroup moves the process into a new cgroup of its own, and away from what
// it has of the shim.
func (p *process) enterCgroup(parent string, memory int64) error {
	pid := p.cmd.Process.Pid
	// A compiler must not be spared like a shim when memory is short. Failing is
	// no failure: its score is the shim's then.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(strconv.Itoa(oomScore)), 0)

	cgroup.Sweep(parent, isRunning)
	group, err := cgroup.New(parent, cgroupPrefix+strconv.Itoa(pid), cgroup.Limits{Memory: memory, Threads: mostThreads, Weight: cgroupWeight})
	if err != nil {
		return err
	}
	p.group = group
	return group.Add(pid)
}

// isRunning tells whether the process is there for which a cgroup of this name was
// made. It is there before the cgroup, and until nobody needs the cgroup any more.
func isRunning(name string) bool {
	pid, err := strconv.Atoi(strings.TrimPrefix(name, cgroupPrefix))
	return err != nil || !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// send says what to do. It does not block: a job is smaller than a pipe.
func (p *process) send(j *compilejob.Job) error {
	defer p.job.Close()
	data, err := j.Encode()
	if err != nil {
		return err
	}
	_, err = p.job.Write(data)
	if errors.Is(err, unix.EPIPE) {
		return nil // it will not answer
	}
	return err
}

// kill ends the process, and with it, the first of its namespace, all that it has
// started.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	if p.group != nil {
		p.group.Kill()
	}
	// Whoever may still hold the other end is not waited for.
	_ = p.result.SetReadDeadline(time.Now())
}

// await returns the end of the process if it comes in time.
func (p *process) await(patience time.Duration) *reaper.Exit {
	if p.exit != nil {
		return p.exit
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case e := <-p.exits:
		p.exit = &e
		p.said.settle()
	case <-timer.C:
	}
	return p.exit
}

// outOfMemory tells whether the process ended for want of memory.
func (p *process) outOfMemory() bool {
	if p.group != nil {
		if kills, err := p.group.OOMKills(); err == nil && kills > 0 {
			return true
		}
	}
	return p.said.tellsOutOfMemory()
}

// peakMemory in bytes; 0 if unknown.
func (p *process) peakMemory() int64 {
	if p.group == nil {
		return 0
	}
	return p.group.PeakMemory()
}

// close leaves nothing of the process.
func (p *process) close() error {
	p.kill()
	var errs []error
	if p.await(endPatience) == nil {
		errs = append(errs, fmt.Errorf("process %d does not end", p.cmd.Process.Pid))
	} else {
		reaper.Flush(p.cmd)
	}
	if p.group != nil {
		errs = append(errs, p.group.Remove())
	}
	closeFile(p.job, p.result)
	p.said.close()
	return errors.Join(errs...)
}

func closeFile(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

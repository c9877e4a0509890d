package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// mode is how a runner comes by its code.
type mode string

const (
	shared      mode = "shared"
	private     mode = "private"
	cold        mode = "cold"
	interpreted mode = "interpreter"
)

// denyCodeEnv makes this program forbid executable memory and go on with the
// command in its arguments, so that the runner interprets.
const denyCodeEnv = "STARTUP_DENY_CODE"

func init() {
	if os.Getenv(denyCodeEnv) == "" {
		return
	}
	if err := unix.Prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "forbid executable memory:", err)
		os.Exit(1)
	}
	err := unix.Exec(job.ExecPath, os.Args, []string{job.RoleEnv + "=" + job.RoleRunner})
	fmt.Fprintln(os.Stderr, "exec:", err)
	os.Exit(1)
}

// containerCapabilities are those that containerd and Docker give by default.
var containerCapabilities = []int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FSETID, unix.CAP_FOWNER, unix.CAP_MKNOD, unix.CAP_NET_RAW, unix.CAP_SETGID, unix.CAP_SETUID,
	unix.CAP_SETFCAP, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_KILL, unix.CAP_AUDIT_WRITE,
}

// likeAContainer gives the processes that this goroutine starts from now on the
// capabilities that they would have in a container.
func likeAContainer() error {
	runtime.LockOSThread()
	for c := range unix.CAP_LAST_CAP + 1 {
		if slices.Contains(containerCapabilities, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d (run this as root): %w", c, err)
		}
	}
	return nil
}

// process is a runner for which this program plays the shim.
type process struct {
	cmd     *exec.Cmd
	conn    *net.UnixConn
	control *job.Control
	stdout  io.ReadCloser
	began   time.Time
}

func (b bench) start(g guest, m mode, args []string) (p *process, err error) {
	j := job.Job{Module: "/" + g.name + ".wasm", Export: "_start", Args: args, PrivateCode: m == private}
	data, err := j.Encode()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("job", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	jobFile := os.NewFile(uintptr(fd), "job")
	defer jobFile.Close()
	if _, err := jobFile.Write(data); err != nil {
		return nil, err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	binary, err := os.Open(b.binary)
	if err != nil {
		return nil, err
	}
	defer binary.Close()
	module, err := os.Open(g.module)
	if err != nil {
		return nil, err
	}
	defer module.Close()
	p = &process{conn: conn.(*net.UnixConn), control: job.NewControl(conn.(*net.UnixConn))}
	p.cmd = exec.Command(job.ExecPath)
	p.cmd.Args = append([]string{job.ExecPath}, args...)
	p.cmd.Env = []string{job.RoleEnv + "=" + job.RoleRunner}
	if m == interpreted {
		if p.cmd.Path, err = os.Executable(); err != nil {
			return nil, err
		}
		p.cmd.Env = []string{denyCodeEnv + "=1"}
	}
	p.cmd.ExtraFiles = []*os.File{binary, theirs, jobFile, module}
	p.cmd.Stderr = os.Stderr
	if m == interpreted {
		p.cmd.Stderr = nil // it says that it interprets
	}
	if p.stdout, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if _, err = p.cmd.StdinPipe(); err != nil { // open as long as the process lives
		return nil, err
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	order, code := job.Code, g.entry
	if m == cold || m == interpreted {
		order, code = job.NoCode, nil
	}
	if err := p.control.Send(order, code); err != nil {
		return nil, err
	}
	return p, p.control.Send(job.Go, nil)
}

// figures are medians in milliseconds.
type figures struct {
	wall float64 // from exec to end
	cpu  float64 // of the process, on all CPUs together
	load float64 // what the runner says that loading has taken
}

func (f figures) String() string {
	return fmt.Sprintf("%.1f (cpu %.1f, load %.1f)", f.wall, f.cpu, f.load)
}

func (b bench) time(g guest, m mode) (f figures, err error) {
	runs := b.runs
	if m == cold || m == interpreted {
		runs = b.slow
	}
	var walls, cpus, loads []float64
	for range runs + 1 {
		p, err := b.start(g, m, g.once)
		if err != nil {
			return f, err
		}
		report, err := p.control.ReadReport()
		if err != nil || report.Kind != job.Ready {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
			return f, fmt.Errorf("report %+v, %w", report, err)
		}
		if want := (map[mode]job.CodeUse{shared: job.CodeShared, private: job.CodePrivate, cold: job.CodeCompiled, interpreted: job.CodeNone})[m]; report.Code != want {
			return f, fmt.Errorf("code is %s, not %s", report.Code, want)
		}
		out, _ := io.ReadAll(p.stdout)
		if err := p.cmd.Wait(); err != nil {
			return f, err
		}
		walls = append(walls, float64(time.Since(p.began).Microseconds())/1000)
		cpus = append(cpus, float64((p.cmd.ProcessState.UserTime()+p.cmd.ProcessState.SystemTime()).Microseconds())/1000)
		loads = append(loads, report.Load)
		if len(out) == 0 {
			return f, fmt.Errorf("no output")
		}
		p.conn.Close()
	}
	// The first one warms up.
	return figures{median(walls[1:]), median(cpus[1:]), median(loads[1:])}, nil
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// memory returns the sum of the PSS of idle guests, in MiB.
func (b bench) memory(g guest, m mode) (sum float64, err error) {
	var all []*process
	defer func() {
		for _, p := range all {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
			p.conn.Close()
		}
	}()
	for range b.guests {
		p, err := b.start(g, m, g.idle)
		if err != nil {
			return 0, err
		}
		all = append(all, p)
		line, err := bufio.NewReader(p.stdout).ReadString('\n')
		if err != nil || line != "idle\n" {
			return 0, fmt.Errorf("it said %q, %w", line, err)
		}
	}
	time.Sleep(time.Second) // let them come to rest
	for _, p := range all {
		kib, err := pss(p.cmd.Process.Pid)
		if err != nil {
			return 0, err
		}
		sum += kib / 1024
	}
	return sum, nil
}

// pss returns the proportional share of memory of a process, in KiB.
func pss(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "Pss:"); ok {
			return strconv.ParseFloat(strings.Fields(value)[0], 64)
		}
	}
	return 0, fmt.Errorf("no Pss in %q", data)
}

// Package compile is the shim's side of compiling: it starts a compiler (package
// compiler) for one module, bounds what it may take, and makes an entry of the
// code cache of what it hands over. It never looks into the module, and takes
// the compiler for an enemy: once it has read a module it may be one.
package compile

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/selfexe"
)

const (
	// mostDefaultMemory bounds Config.Memory's default, in bytes.
	mostDefaultMemory = 4 << 30
	// defaultTimeout is Config.Timeout's default. The slowest known module takes
	// half a minute.
	defaultTimeout = 10 * time.Minute
	// mostDefaultParallel bounds Config.Parallel's default.
	mostDefaultParallel = 4
)

// Config bounds compilers. The zero value of a field means its default.
type Config struct {
	// Memory (option compile_memory) is what one compiler may take, in bytes:
	// half of the machine's memory by default, 4 GiB at most.
	Memory int64
	// Timeout (option compile_timeout) is how long one module may take: 10
	// minutes. The wait for others to finish has the same bound.
	Timeout time.Duration
	// Parallel (option compile_parallel) is how many compilers run at the same
	// time: half of the CPUs, 1 to 4.
	Parallel int
	// Slots is a directory that only root may enter, in which the compilers of
	// all shims of this node are counted. It is made if it is missing. Without it
	// (""), and where it cannot be used, those of this Compiler are.
	Slots string
	// Start starts a program and tells of its end, like Reaper.StartCommand, for
	// a process that reaps its children in one place.
	Start func(*exec.Cmd) (<-chan reaper.Exit, error)
	// Log gets what is worth knowing about the node; nil for nothing.
	Log *log.Entry
}

// Compiler starts compilers. It is safe for concurrent use.
type Compiler struct {
	config Config
	slots  *slots
	warned *once
	// binary opens what is executed.
	binary func() (*os.File, error)
	// environ is added to the compiler's environment.
	environ []string
	// userNamespaces are tried first.
	userNamespaces bool
	// cgroup is the parent of the compilers' cgroups.
	cgroup string
	// workers is how many threads a compiler gets now.
	workers func() int
}

// New starts nothing yet.
func New(c Config) *Compiler {
	if c.Memory <= 0 {
		c.Memory = min(physicalMemory()/2, mostDefaultMemory)
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Parallel <= 0 {
		c.Parallel = DefaultParallel()
	}
	if c.Start == nil {
		c.Start = start
	}
	warned := &once{log: c.Log}
	return &Compiler{
		config: c, warned: warned, binary: selfexe.Open, userNamespaces: true, cgroup: cgroupParent, workers: workers,
		slots: newSlots(c.Slots, c.Parallel, warned),
	}
}

// DefaultParallel is Config.Parallel's default.
func DefaultParallel() int { return min(max(runtime.NumCPU()/2, 1), mostDefaultParallel) }

// Compile implements codecache.Compiler: it returns a sealed memfd with the entry
// of m, whose sha256 is d.
//
// Errors are sentences: *codecache.Refused, what wraps ErrUnsupported,
// ErrUnavailable, ErrLimit or ErrBroken, and that of ctx.
func (c *Compiler) Compile(ctx context.Context, m codecache.Module, d entry.Digest) (*os.File, error) {
	if !entry.Supported() {
		return nil, failure(ErrUnsupported, "no code can be generated on this machine (%s)", entry.Current())
	}
	info, err := m.File.Stat()
	if err != nil {
		return nil, fmt.Errorf("compile module %q: %w", m.Name, err)
	}
	// Nothing but the descriptor would keep a compiler from changing the file.
	if flags, err := unix.FcntlInt(m.File.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_ACCMODE != unix.O_RDONLY {
		return nil, fmt.Errorf("compile module %q: its file is not open for reading only", m.Name)
	}
	header := entry.Header{Module: d, ModuleSize: info.Size(), Engine: entry.Current()}
	slot, err := c.slots.acquire(ctx, c.config.Timeout)
	if err != nil {
		return nil, fmt.Errorf("compile module %q: %w", m.Name, err)
	}
	defer slot.release()
	t := task{Compiler: c, module: m, header: header, slot: slot.number, workers: c.workers()}
	t.cpuSeconds = uint64(c.config.Timeout/time.Second+1) * uint64(t.workers)
	return t.run(ctx)
}

// physicalMemory of the machine in bytes.
func physicalMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 2 * mostDefaultMemory
	}
	return int64(uint64(info.Totalram) * uint64(info.Unit))
}

// start is Config.Start's default: os/exec waits.
func start(cmd *exec.Cmd) (<-chan reaper.Exit, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan reaper.Exit, 1)
	go func() {
		_ = cmd.Wait()
		ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
		e := reaper.Exit{Pid: cmd.Process.Pid, Status: uint32(ws.ExitStatus()), At: time.Now()}
		if ws.Signaled() {
			e.Signal = ws.Signal()
			e.Status = 128 + uint32(e.Signal)
		}
		ended <- e
	}()
	return ended, nil
}

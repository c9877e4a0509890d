package task

import (
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/stdio"
)

// ioNames are the streams as the client named them.
type ioNames struct {
	stdin, stdout, stderr string
	terminal              bool
}

// exit is how a process ended.
type exit struct {
	status uint32
	at     time.Time
	oom    bool // TaskOOM is to be published first
}

// process is the init process of a container or an exec.
type process struct {
	container *container
	execID    string // "" for init
	io        ioNames
	spec      *specs.Process // of an exec

	// busy is held by the operation that changes the process: a semaphore.
	busy chan struct{}
	// done is closed when the process is stopped.
	done chan struct{}

	mu      sync.Mutex
	phase   phase
	os      *launcher.Process // nil before it exists
	streams *stdio.Streams    // nil before they are open
	code    *code             // nil for a native program, and before it is looked up
	exit    exit              // valid when stopped
	early   *exit             // the process ended while starting
	silent  bool              // Start failed: its end is nobody's news
	givenUp bool              // Delete came while Start was under way
	doomed  bool              // init got a signal that ends it
	asked   int               // how often init, a graceful guest, was asked to end
	noStdin bool              // CloseIO came before the streams were open
	size    *[2]uint32        // ResizePty came before the streams were open
}

func newProcess(c *container, execID string, io ioNames) *process {
	return &process{
		container: c, execID: execID, io: io,
		busy: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// String names the process in errors.
func (p *process) String() string {
	if p.execID == "" {
		return fmt.Sprintf("container %q", p.container.id)
	}
	return fmt.Sprintf("exec %q of container %q", p.execID, p.container.id)
}

// lock takes the right to change the process; unlock gives it back.
func (p *process) lock()   { p.busy <- struct{}{} }
func (p *process) unlock() { <-p.busy }

// step moves the process to the next phase, or says why verb is not possible.
func (p *process) step(next phase, verb string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stepLocked(next, verb)
}

func (p *process) stepLocked(next phase, verb string) error {
	if !p.phase.to(next) {
		return &phaseError{what: p.String(), is: p.phase, verb: verb}
	}
	p.phase = next
	return nil
}

func (p *process) current() phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase
}

// giveUp makes a start that is under way fail, or end what it has started.
func (p *process) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.givenUp = p.phase == created || p.phase == starting
}

func (p *process) isGivenUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.givenUp
}

// doom remembers a signal that ends the process when it runs, or asks it to: a graceful
// guest may go on for long.
func (p *process) doom(asks bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if asks {
		p.asked++
	} else {
		p.doomed = true
	}
}

func (p *process) timesAsked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *process) isDoomed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doomed
}

// pid is 0 before the process exists.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.os == nil {
		return 0
	}
	return p.os.Pid
}

// status is the recorded end; only valid once done is closed.
func (p *process) status() exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// open gives the process its streams and carries out what was asked of them
// before.
func (p *process) open(s *stdio.Streams) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams = s
	if p.noStdin {
		s.CloseStdin()
	}
	if p.size != nil {
		_ = s.Resize(p.size[0], p.size[1])
	}
}

func (p *process) closeStdin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noStdin = true
	if p.streams != nil {
		p.streams.CloseStdin()
	}
}

func (p *process) resize(width, height uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = &[2]uint32{width, height}
	if p.streams == nil || p.phase == stopped || p.phase == deleted {
		return nil
	}
	return p.streams.Resize(width, height)
}

// signal reaches the process also while it is starting.
func (p *process) signal(sig unix.Signal) error {
	p.mu.Lock()
	ph, os := p.phase, p.os
	p.mu.Unlock()
	switch {
	case ph == stopped || ph == deleted:
		return fmt.Errorf("%s has finished: %w", p, errdefs.ErrNotFound)
	case os == nil:
		return &phaseError{what: p.String(), is: ph, verb: "kill"}
	}
	return os.Signal(sig)
}

// release gives back what a stopped process holds. It may take as long as a
// reader of its output or a logging program needs, within bounds.
func (p *process) release() {
	p.mu.Lock()
	os, streams, code := p.os, p.streams, p.code
	p.streams, p.code = nil, nil
	p.mu.Unlock()
	if code != nil {
		code.close()
	}
	if streams != nil {
		streams.Close()
	}
	if os != nil {
		os.Release()
	}
}

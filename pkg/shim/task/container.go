package task

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/artifact"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

// container is one container of the shim. What is set in Create never changes.
type container struct {
	id      string
	dir     bundle.Dir
	options options.Options
	spec    *specs.Spec
	wasm    bool
	state   bundle.State
	// artifact is the image whose module init runs, if that is not in the root
	// file system, and artifactCommand what init's command called it.
	artifact        *artifact.Artifact
	artifactCommand string

	os     launcher.Container
	cgroup cgroup.Cgroup // nil if there is none to be read
	// unwatchOOM ends the watch for out-of-memory kills; nil without a cgroup.
	unwatchOOM context.CancelFunc
	init       *process
	oom        oomCounter

	mu     sync.Mutex
	execs  map[string]*process
	active sync.WaitGroup // execs that run, or are starting
	ending bool           // init has ended: no exec may start any more
}

// process finds init ("") or an exec.
func (c *container) process(execID string) (*process, error) {
	if execID == "" {
		return c.init, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.execs[execID]
	if !ok {
		return nil, fmt.Errorf("exec %q of container %q: %w", execID, c.id, errdefs.ErrNotFound)
	}
	return p, nil
}

// addExec registers an exec, which must have a new id.
func (c *container) addExec(p *process) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return notRunning(c.id)
	}
	if _, ok := c.execs[p.execID]; ok {
		return fmt.Errorf("%s: %w", p, errdefs.ErrAlreadyExists)
	}
	c.execs[p.execID] = p
	return nil
}

func (c *container) removeExec(p *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.execs, p.execID)
}

func (c *container) allExecs() []*process {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*process, 0, len(c.execs))
	for _, p := range c.execs {
		all = append(all, p)
	}
	return all
}

// beginExec counts an exec as active until endExec.
func (c *container) beginExec() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return notRunning(c.id)
	}
	c.active.Add(1)
	return nil
}

func (c *container) endExec() { c.active.Done() }

// ended tells whether init has.
func (c *container) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

// end refuses execs from now on.
func (c *container) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
}

func notRunning(id string) error {
	return fmt.Errorf("container %s init process is not running: %w", id, errdefs.ErrFailedPrecondition)
}

// ownsPIDs tells whether the container has a PID namespace of its own: the
// kernel then kills everything in it when init ends.
func (c *container) ownsPIDs() bool {
	if c.spec.Linux == nil {
		return false
	}
	for _, ns := range c.spec.Linux.Namespaces {
		if ns.Type == specs.PIDNamespace {
			return ns.Path == ""
		}
	}
	return false
}

// oomNews tells whether the kernel has killed something in the container for
// want of memory since it was last asked.
func (c *container) oomNews() bool {
	return c.tellOOM(func() {})
}

// tellOOM is oomNews for who publishes the news at once.
func (c *container) tellOOM(publish func()) bool {
	if c.cgroup == nil {
		return false
	}
	kills, err := c.cgroup.OOMKills()
	return err == nil && c.oom.tell(kills, publish)
}

// oomCounter remembers how many out-of-memory kills have been reported.
type oomCounter struct {
	mu   sync.Mutex
	seen uint64
}

// news tells whether total is more than what was reported before.
func (o *oomCounter) news(total uint64) bool {
	return o.tell(total, func() {})
}

// tell calls publish if total is news, before anybody else is told that it is not: the
// end of a process is published after the kills that are no news by then.
func (o *oomCounter) tell(total uint64, publish func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if total <= o.seen {
		return false
	}
	o.seen = total
	publish()
	return true
}

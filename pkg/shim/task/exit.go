package task

import (
	"context"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// watch takes charge of a new container until its init process has ended.
func (s *Service) watch(c *container) {
	go func() {
		if c.unwatchOOM != nil {
			defer c.unwatchOOM()
		}
		s.waitInit(c)
	}()
}

// watchOOM watches a container for out-of-memory kills until c.unwatchOOM is called.
func (s *Service) watchOOM(c *container) {
	ctx, cancel := context.WithCancel(context.Background())
	c.unwatchOOM = cancel
	if err := c.cgroup.WatchOOM(ctx, func() { s.oomKilled(c) }); err != nil {
		s.logger(c.id).WithError(err).Debug("out-of-memory kills are noticed at exit only")
	}
}

// waitInit makes the end of the init process the last of the container's
// exits: the execs, and everything else in the container, end before.
func (s *Service) waitInit(c *container) {
	e, outOfMemory := c.init.os.Wait()
	c.end()
	if !c.ownsPIDs() {
		// The kernel has not killed the other processes: see ShouldKillAllOnExit
		// of containerd's runc shim.
		if err := c.os.KillAll(context.Background()); err != nil {
			s.logger(c.id).WithError(err).Debug("kill what init has left")
		}
	}
	c.active.Wait()
	oom := c.oomNews() || outOfMemory
	if err := c.dir.WriteExit(bundle.Exit{Pid: e.Pid, Status: e.Status, At: e.At}); err != nil {
		s.logger(c.id).WithError(err).Warn("the exit status is lost if the shim is killed")
	}
	c.init.streamsEnded()
	s.exited(c.init, e, oom)
	c.init.os.LetGo()
}

// waitExec waits for the end of an exec.
func (s *Service) waitExec(p *process, os *launcher.Process) {
	e, outOfMemory := os.Wait()
	oom := p.container.oomNews() || outOfMemory
	p.streamsEnded()
	s.exited(p, e, oom)
}

// oomKilled publishes that the kernel has killed something in a container for
// want of memory, if it is news. What happens before Start is done is told at the
// exit: no event of a process comes before its start.
func (s *Service) oomKilled(c *container) {
	if ph := c.init.current(); ph != created && ph != starting {
		c.tellOOM(func() { s.Publish(&events.TaskOOM{ContainerID: c.id}) })
	}
}

// exited records the end of p and publishes it, unless p is still starting:
// then Start does.
func (s *Service) exited(p *process, e reaper.Exit, oom bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := exit{status: e.Status, at: e.At, oom: oom}
	if p.phase == starting && !p.silent {
		p.early = &end
		return
	}
	s.exitedLocked(p, end)
}

// exitedLocked stops p first and publishes then: whoever sees the event finds
// the process stopped. Publish only queues.
func (s *Service) exitedLocked(p *process, e exit) {
	if !p.stopLocked(e) || p.silent {
		return
	}
	if e.oom {
		s.Publish(&events.TaskOOM{ContainerID: p.container.id})
	}
	id := p.execID
	if id == "" {
		id = p.container.id
	}
	var pid uint32
	if p.os != nil {
		pid = uint32(p.os.Pid)
	}
	s.Publish(&events.TaskExit{
		ContainerID: p.container.id, ID: id, Pid: pid,
		ExitStatus: e.status, ExitedAt: wire.Time(e.at),
	})
}

func (p *process) stop(e exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopLocked(e)
}

// stopLocked returns false if the process was stopped before.
func (p *process) stopLocked(e exit) bool {
	if !p.phase.to(stopped) {
		return false
	}
	p.phase, p.exit = stopped, e
	close(p.done)
	return true
}

// streamsEnded waits, for a bounded time, until the output has been taken.
func (p *process) streamsEnded() {
	p.mu.Lock()
	streams := p.streams
	p.mu.Unlock()
	if streams != nil {
		streams.Ended()
	}
}

// drained bounds how long Delete waits for the end of a killed process.
const drained = 10 * time.Second

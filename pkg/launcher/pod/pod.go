// Package pod makes the namespaces and the cgroup of a pod, with a holder (see
// pkg/holder) in them.
//
//	pod.go      start a holder, end it
//	clone.go    the process and its namespaces
//	user.go     the same inside a user namespace that is there already
//	cgroup.go   its cgroup, in both forms
//	shm.go      what the pod's containers mount as /dev/shm
//	cleanup.go  for the delete helper: there is no shim
package pod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/holder"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// Config says which namespaces a pod has, and what is special about them.
type Config struct {
	ID     string
	Bundle bundle.Dir
	// Network is the path of the pod's network namespace; empty for the host's.
	Network string
	// UTS, IPC and PID are new namespaces; otherwise the holder stays in the
	// host's. PID is for containers that share one.
	UTS, IPC, PID bool
	// User maps the users of the pod's user namespace; nil is the host's. The
	// namespace is the one that owns the network namespace, or a new one.
	User *Mapping
	// Hostname needs UTS.
	Hostname string
	// Sysctls are set inside, by their path below /proc/sys; Wished ones only if
	// the kernel has them.
	Sysctls, Wished map[string]string
	// CgroupParent is the cgroup above the pod's containers, or a systemd slice:
	// see Cgroup. Empty leaves the holder in the shim's cgroup.
	CgroupParent string
}

// Mapping is that of a user namespace.
type Mapping struct{ UIDs, GIDs []syscall.SysProcIDMap }

const (
	// settled bounds how long a holder may take to do its job.
	settled = 20 * time.Second
	// unprivileged is the user and group that a holder becomes, as pause images
	// do: no user of a container, as a rule.
	unprivileged = 65535
	// oomScoreAdj keeps the kernel from choosing the holder when memory is short:
	// the whole pod would go. containerd gives the same to pause containers.
	oomScoreAdj = -998
)

// Holder is a running holder.
type Holder struct {
	Pid       int
	CreatedAt time.Time

	process *launcher.Process
	alive   *os.File // the holder ends when this is closed
	cgroup  *Cgroup
	ended   chan struct{} // closed when it has
	exit    reaper.Exit
}

// Start starts a holder and returns when the pod's namespaces are complete. If it
// fails, nothing is left.
func Start(ctx context.Context, children *reaper.Reaper, c Config) (_ *Holder, retErr error) {
	cg := CgroupOf(c.CgroupParent, c.ID)
	s, err := clone(children, c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the pod's holder: %w", err), cg.remove(ctx))
	}
	h := &Holder{Pid: s.process.Pid, CreatedAt: time.Now(), process: s.process, alive: s.alive, cgroup: &cg, ended: make(chan struct{})}
	go func() {
		h.exit, _ = h.process.Wait()
		close(h.ended)
		close(s.ended)
	}()
	defer func() {
		s.job.Close()
		s.report.Close()
		if retErr != nil {
			retErr = errors.Join(retErr, h.Remove(context.WithoutCancel(ctx)))
		}
	}()
	// Lowering it takes a capability that a containerd in a container may lack.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", h.Pid), []byte(strconv.Itoa(oomScoreAdj)), 0)
	if err := cg.add(ctx, h.Pid); err != nil {
		return nil, err
	}
	if err := s.instruct(c); err != nil {
		return nil, fmt.Errorf("the pod's holder: %w", err)
	}
	return h, nil
}

// instruct tells the holder what to do and waits until it has done it.
func (s *started) instruct(c Config) error {
	data, err := json.Marshal(holder.Job{Hostname: c.Hostname, Sysctls: c.Sysctls, Wished: c.Wished, User: c.User.last()})
	if err != nil {
		return err
	}
	deadline := time.Now().Add(settled)
	if err := s.job.SetWriteDeadline(deadline); err != nil {
		return err
	}
	if _, err := s.job.Write(data); err != nil {
		return fmt.Errorf("send its job: %w", err)
	}
	s.job.Close()
	if err := s.report.SetReadDeadline(deadline); err != nil {
		return err
	}
	report, err := io.ReadAll(io.LimitReader(s.report, holder.MaxReport))
	switch {
	case err != nil:
		return fmt.Errorf("wait until it is ready: %w", err)
	case len(report) > 0:
		return errors.New(string(report))
	}
	// Silence is also what is heard of a process that was killed.
	if err := s.process.Signal(0); err != nil {
		return fmt.Errorf("it ended at once: %w", err)
	}
	return nil
}

// last is the user and group that a holder becomes.
func (m *Mapping) last() int {
	if m == nil {
		return unprivileged
	}
	user := unprivileged
	for _, maps := range [][]syscall.SysProcIDMap{m.UIDs, m.GIDs} {
		for _, one := range maps {
			user = min(user, one.ContainerID+one.Size-1)
		}
	}
	return user
}

// Ended is closed when the holder has ended, for whatever reason; Exit is valid
// from then on.
func (h *Holder) Ended() <-chan struct{} { return h.ended }

// Exit tells how the holder ended.
func (h *Holder) Exit() reaper.Exit { return h.exit }

// Remove ends the holder, with everything in a PID namespace of its own, and
// removes its cgroup. It may be called again.
func (h *Holder) Remove(ctx context.Context) error {
	_ = h.process.Signal(unix.SIGKILL) // NotFound: it has ended
	select {
	case <-h.ended:
	case <-ctx.Done():
		return fmt.Errorf("the pod's holder, process %d, does not end: %w", h.Pid, ctx.Err())
	}
	h.alive.Close()
	h.process.Release()
	return h.cgroup.remove(ctx)
}

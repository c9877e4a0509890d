package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
	api "github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/sandboxapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// CreateSandbox registers the pod. A shim has one at most.
func (s *Service) CreateSandbox(_ context.Context, r *api.CreateSandboxRequest) (*api.CreateSandboxResponse, error) {
	p, err := plan(r)
	if err != nil {
		return nil, fmt.Errorf("create sandbox %q: %w: %w", r.SandboxID, err, errdefs.ErrInvalidArgument)
	}
	if len(r.Rootfs) > 0 {
		s.Log.WithField("sandbox", p.id).Info("the sandbox's root file system is not used: nothing runs in it")
	}
	s.mu.Lock()
	if s.pod != nil {
		defer s.mu.Unlock()
		return nil, fmt.Errorf("sandbox %q: this shim has sandbox %q: %w", p.id, s.pod.id, errdefs.ErrAlreadyExists)
	}
	s.pod = p
	s.mu.Unlock()
	s.Arrived(p.id)
	// In this order: once there is a pod, the shim does not decide to go.
	if s.Members.Stopping() {
		s.forget()
		return nil, fmt.Errorf("create sandbox %q: the shim is shutting down: %w", p.id, errdefs.ErrUnavailable)
	}
	return &api.CreateSandboxResponse{}, nil
}

func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pod = nil
}

// plan decides what a pod needs. It changes nothing.
func plan(r *api.CreateSandboxRequest) (*sandbox, error) {
	if r.SandboxID == "" || !filepath.IsAbs(r.BundlePath) {
		return nil, errors.New("a sandbox has an id and the absolute path of a bundle")
	}
	c, err := parseConfig(r.Options)
	if err != nil {
		return nil, err
	}
	p := &sandbox{
		id: r.SandboxID, dir: bundle.Dir(filepath.Clean(r.BundlePath)), dns: c.dns,
		shm:       c.ipc != modeNode,
		createdAt: time.Now(),
		busy:      make(chan struct{}, 1), done: make(chan struct{}),
	}
	host := c.network == modeNode
	if host && r.NetnsPath != "" {
		return nil, fmt.Errorf("the pod uses the node's network, but has the network namespace %s", r.NetnsPath)
	}
	if c.fromCRI && !host && r.NetnsPath == "" {
		return nil, errors.New("the pod has a network of its own, but no network namespace")
	}
	host = r.NetnsPath == ""
	p.config = pod.Config{
		ID: p.id, Bundle: p.dir, Network: r.NetnsPath,
		// With the node's network goes the node's name.
		UTS: !host, IPC: p.shm, PID: c.pid == modePod && c.fromCRI,
		CgroupParent: c.cgroupParent,
	}
	if p.config.User, err = c.user(); err != nil {
		return nil, err
	}
	p.hostname = c.hostname
	if p.config.UTS {
		p.config.Hostname = c.hostname
	}
	return p, setSysctls(&p.config, c.sysctls)
}

// StartSandbox makes the pod's namespaces.
func (s *Service) StartSandbox(ctx context.Context, r *api.StartSandboxRequest) (*api.StartSandboxResponse, error) {
	p := s.current()
	if p == nil || p.id != r.SandboxID {
		return nil, fmt.Errorf("start sandbox %q before it is created: %w", r.SandboxID, errdefs.ErrFailedPrecondition)
	}
	p.lock()
	defer p.unlock()
	if p.view().phase != created {
		return nil, fmt.Errorf("start sandbox %q: it was started before: %w", p.id, errdefs.ErrFailedPrecondition)
	}
	ctx = detached(ctx)
	if err := s.start(ctx, p); err != nil {
		return nil, fmt.Errorf("start sandbox %q: %w", p.id, errors.Join(err, pod.UnmountShm(p.dir)))
	}
	v := p.view()
	return &api.StartSandboxResponse{Pid: uint32(v.pid), CreatedAt: wire.Time(v.createdAt)}, nil
}

func (s *Service) start(ctx context.Context, p *sandbox) error {
	cg := pod.CgroupOf(p.config.CgroupParent, p.id)
	// First, so that the delete helper finds whatever comes next.
	p.record = bundle.Sandbox{ID: p.id, Cgroup: cg.Path, Unit: cg.Unit}
	if err := p.dir.WriteSandbox(p.record); err != nil {
		return err
	}
	if err := p.writeFiles(); err != nil {
		return err
	}
	if p.shm {
		if err := pod.MountShm(p.dir); err != nil {
			return err
		}
	}
	h, err := s.StartHolder(ctx, p.config)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.phase, p.holder, p.createdAt = ready, h, h.CreatedAt
	p.mu.Unlock()
	go func() {
		<-h.Ended()
		e := h.Exit()
		p.end(e.Status, e.At)
	}()
	return nil
}

// Platform is the host's: containers that are native programs run, too.
func (s *Service) Platform(_ context.Context, r *api.PlatformRequest) (*api.PlatformResponse, error) {
	if _, err := s.find(r.SandboxID); err != nil {
		return nil, err
	}
	return &api.PlatformResponse{Platform: &api.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}}, nil
}

// writeFiles makes the files that the pod's containers find in /etc, as
// containerd's other sandboxer does (setupSandboxFiles).
func (p *sandbox) writeFiles() error {
	hostname := p.hostname
	if hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return fmt.Errorf("the pod's host name: %w", err)
		}
	}
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the pod's hosts file: %w", err)
	}
	resolv, err := p.dns.file()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"hostname": []byte(hostname + "\n"), "hosts": hosts, "resolv.conf": resolv} {
		path := p.dir.Path(name)
		if err := bundle.WriteFile(path, data); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil { // every user of a container reads them
			return err
		}
	}
	return nil
}

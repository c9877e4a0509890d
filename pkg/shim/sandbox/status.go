package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
	api "github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/sandboxapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/version"
)

// States as CRI calls them (PodSandboxState); containerd compares the strings.
const (
	stateReady    = "SANDBOX_READY"
	stateNotReady = "SANDBOX_NOTREADY"
)

// SandboxStatus describes the pod. It never waits for an operation.
func (s *Service) SandboxStatus(_ context.Context, r *api.SandboxStatusRequest) (*api.SandboxStatusResponse, error) {
	p, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	v := p.view()
	resp := &api.SandboxStatusResponse{
		SandboxID: p.id, Pid: uint32(v.pid), State: stateNotReady, CreatedAt: wire.Time(v.createdAt),
	}
	if v.phase == ready {
		resp.State = stateReady
	}
	if !v.exitedAt.IsZero() {
		resp.ExitedAt = wire.Time(v.exitedAt)
	}
	if r.Verbose {
		resp.Info = map[string]string{"info": v.info()}
	}
	return resp, nil
}

// info is shown by crictl inspectp. containerd decodes it as its SandboxInfo and
// puts more into it (setUpdatedResources).
func (v *view) info() string {
	status := map[phase]string{created: "created", ready: "running", stopped: "stopped"}[v.phase]
	data, err := json.Marshal(map[string]any{"pid": v.pid, "processStatus": status, "runtimeType": version.Runtime})
	if err != nil {
		return "{}"
	}
	return string(data)
}

// PingSandbox tells whether the pod is alive.
func (s *Service) PingSandbox(_ context.Context, r *api.PingRequest) (*api.PingResponse, error) {
	p, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	if p.view().phase == stopped {
		return nil, fmt.Errorf("sandbox %q has stopped: %w", p.id, errdefs.ErrFailedPrecondition)
	}
	return &api.PingResponse{}, nil
}

// UpdateSandbox is told of a resize of the pod after the fact. The pod's cgroup is
// the kubelet's, and those of its containers change by Task.Update, so there is
// nothing to do but to agree.
func (s *Service) UpdateSandbox(_ context.Context, r *api.UpdateSandboxRequest) (*api.UpdateSandboxResponse, error) {
	p, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	if p.view().phase == stopped {
		return nil, fmt.Errorf("update sandbox %q: it has stopped: %w", p.id, errdefs.ErrFailedPrecondition)
	}
	return &api.UpdateSandboxResponse{}, nil
}

// SandboxMetrics are the figures of the pod's cgroup: of all its containers and
// the holder, exited ones included. Clients other than CRI do not name that cgroup;
// they get those of the holder's.
func (s *Service) SandboxMetrics(_ context.Context, r *api.SandboxMetricsRequest) (*api.SandboxMetricsResponse, error) {
	p, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	figures, err := p.metrics()
	if err != nil {
		return nil, fmt.Errorf("metrics of sandbox %q: %w", p.id, err)
	}
	data := &wire.Any{TypeURL: figures.TypeURL, Value: figures.Value}
	return &api.SandboxMetricsResponse{Metrics: &api.Metric{Timestamp: wire.Time(time.Now()), ID: p.id, Data: data}}, nil
}

func (p *sandbox) metrics() (cgroup.Figures, error) {
	cg, err := p.cgroup()
	if err != nil {
		return cgroup.Figures{}, err
	}
	return cg.Stats()
}

func (p *sandbox) cgroup() (cgroup.Cgroup, error) {
	if parent := p.config.CgroupParent; parent != "" {
		return cgroup.At(pod.ParentPath(parent))
	}
	v := p.view()
	if v.phase != ready {
		return nil, fmt.Errorf("it does not run: %w", errdefs.ErrNotFound)
	}
	return cgroup.Of(v.pid)
}

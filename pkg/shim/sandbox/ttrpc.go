package sandbox

import (
	"github.com/containerd/ttrpc"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/rpc"
	api "github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/sandboxapi"
)

// Register serves the Sandbox service.
func (s *Service) Register(server *ttrpc.Server) {
	server.RegisterService(api.ServiceName, &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"CreateSandbox":   rpc.Method(s.CreateSandbox),
		"StartSandbox":    rpc.Method(s.StartSandbox),
		"Platform":        rpc.Method(s.Platform),
		"StopSandbox":     rpc.Method(s.StopSandbox),
		"WaitSandbox":     rpc.Method(s.WaitSandbox),
		"SandboxStatus":   rpc.Method(s.SandboxStatus),
		"PingSandbox":     rpc.Method(s.PingSandbox),
		"ShutdownSandbox": rpc.Method(s.ShutdownSandbox),
		"SandboxMetrics":  rpc.Method(s.SandboxMetrics),
		"UpdateSandbox":   rpc.Method(s.UpdateSandbox),
	}})
}

package sandbox

import (
	api "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/ttrpc"
)

var _ api.TTRPCSandboxService = (*Service)(nil)

// Register serves the Sandbox service.
func (s *Service) Register(server *ttrpc.Server) { api.RegisterTTRPCSandboxService(server, s) }

package task

import (
	"github.com/containerd/ttrpc"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/rpc"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
)

// Register serves both versions of the Task service on one server.
func (s *Service) Register(server *ttrpc.Server) {
	desc := &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"State":      rpc.Method(s.State),
		"Create":     rpc.Method(s.Create),
		"Start":      rpc.Method(s.Start),
		"Delete":     rpc.Method(s.Delete),
		"Pids":       rpc.Method(s.Pids),
		"Pause":      rpc.Method(s.Pause),
		"Resume":     rpc.Method(s.Resume),
		"Checkpoint": rpc.Method(s.Checkpoint),
		"Kill":       rpc.Method(s.Kill),
		"Exec":       rpc.Method(s.Exec),
		"ResizePty":  rpc.Method(s.ResizePty),
		"CloseIO":    rpc.Method(s.CloseIO),
		"Update":     rpc.Method(s.Update),
		"Wait":       rpc.Method(s.Wait),
		"Stats":      rpc.Method(s.Stats),
		"Connect":    rpc.Method(s.Connect),
		"Shutdown":   rpc.Method(s.Shutdown),
	}}
	server.RegisterService(taskapi.ServiceV2, desc)
	server.RegisterService(taskapi.ServiceV3, desc)
}

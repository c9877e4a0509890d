package task

import (
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/rpc"
)

// Names of the service. The messages of both versions are the same on the wire
// (containerd api 1.12), so the types of v2 serve both. The package of v3 would
// link grpc-go.
const (
	ServiceV2 = "containerd.task.v2.Task"
	ServiceV3 = "containerd.task.v3.Task"
)

// Register serves both versions of the Task service on one server.
func (s *Service) Register(server *ttrpc.Server) {
	var _ taskapi.TTRPCTaskService = s // every method is there
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
	server.RegisterService(ServiceV2, desc)
	server.RegisterService(ServiceV3, desc)
}

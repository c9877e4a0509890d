package taskapi_test

import (
	"testing"

	api "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire/wiretest"
)

// pairs are our messages with containerd's.
var pairs = []wiretest.Pair{
	wiretest.Of(&taskapi.CreateTaskRequest{}, &api.CreateTaskRequest{}),
	wiretest.Of(&taskapi.CreateTaskResponse{}, &api.CreateTaskResponse{}),
	wiretest.Of(&taskapi.StateRequest{}, &api.StateRequest{}),
	wiretest.Of(&taskapi.StateResponse{}, &api.StateResponse{}),
	wiretest.Of(&taskapi.StartRequest{}, &api.StartRequest{}),
	wiretest.Of(&taskapi.StartResponse{}, &api.StartResponse{}),
	wiretest.Of(&taskapi.DeleteRequest{}, &api.DeleteRequest{}),
	wiretest.Of(&taskapi.DeleteResponse{}, &api.DeleteResponse{}),
	wiretest.Of(&taskapi.PidsRequest{}, &api.PidsRequest{}),
	wiretest.Of(&taskapi.PidsResponse{}, &api.PidsResponse{}),
	wiretest.Of(&taskapi.PauseRequest{}, &api.PauseRequest{}),
	wiretest.Of(&taskapi.ResumeRequest{}, &api.ResumeRequest{}),
	wiretest.Of(&taskapi.CheckpointTaskRequest{}, &api.CheckpointTaskRequest{}),
	wiretest.Of(&taskapi.KillRequest{}, &api.KillRequest{}),
	wiretest.Of(&taskapi.ExecProcessRequest{}, &api.ExecProcessRequest{}),
	wiretest.Of(&taskapi.ResizePtyRequest{}, &api.ResizePtyRequest{}),
	wiretest.Of(&taskapi.CloseIORequest{}, &api.CloseIORequest{}),
	wiretest.Of(&taskapi.UpdateTaskRequest{}, &api.UpdateTaskRequest{}),
	wiretest.Of(&taskapi.WaitRequest{}, &api.WaitRequest{}),
	wiretest.Of(&taskapi.WaitResponse{}, &api.WaitResponse{}),
	wiretest.Of(&taskapi.StatsRequest{}, &api.StatsRequest{}),
	wiretest.Of(&taskapi.StatsResponse{}, &api.StatsResponse{}),
	wiretest.Of(&taskapi.ConnectRequest{}, &api.ConnectRequest{}),
	wiretest.Of(&taskapi.ConnectResponse{}, &api.ConnectResponse{}),
	wiretest.Of(&taskapi.ShutdownRequest{}, &api.ShutdownRequest{}),
	wiretest.Of(&taskapi.ProcessInfo{}, &tasktypes.ProcessInfo{}),
	wiretest.Of(&taskapi.ProcessDetails{}, &options.ProcessDetails{}),
	wiretest.Of(&wire.Empty{}, &emptypb.Empty{}),
}

func TestMessagesAreContainerds(t *testing.T) {
	t.Parallel()
	wiretest.Test(t, pairs)
}

func FuzzDecode(f *testing.F) { wiretest.Fuzz(f, pairs) }

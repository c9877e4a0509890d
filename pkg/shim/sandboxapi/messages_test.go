package sandboxapi_test

import (
	"testing"

	api "github.com/containerd/containerd/api/runtime/sandbox/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/sandboxapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire/wiretest"
)

// pairs are our messages with containerd's.
var pairs = []wiretest.Pair{
	wiretest.Of(&sandboxapi.CreateSandboxRequest{}, &api.CreateSandboxRequest{}),
	wiretest.Of(&sandboxapi.CreateSandboxResponse{}, &api.CreateSandboxResponse{}),
	wiretest.Of(&sandboxapi.StartSandboxRequest{}, &api.StartSandboxRequest{}),
	wiretest.Of(&sandboxapi.StartSandboxResponse{}, &api.StartSandboxResponse{}),
	wiretest.Of(&sandboxapi.PlatformRequest{}, &api.PlatformRequest{}),
	wiretest.Of(&sandboxapi.PlatformResponse{}, &api.PlatformResponse{}),
	wiretest.Of(&sandboxapi.StopSandboxRequest{}, &api.StopSandboxRequest{}),
	wiretest.Of(&sandboxapi.StopSandboxResponse{}, &api.StopSandboxResponse{}),
	wiretest.Of(&sandboxapi.WaitSandboxRequest{}, &api.WaitSandboxRequest{}),
	wiretest.Of(&sandboxapi.WaitSandboxResponse{}, &api.WaitSandboxResponse{}),
	wiretest.Of(&sandboxapi.SandboxStatusRequest{}, &api.SandboxStatusRequest{}),
	wiretest.Of(&sandboxapi.SandboxStatusResponse{}, &api.SandboxStatusResponse{}),
	wiretest.Of(&sandboxapi.PingRequest{}, &api.PingRequest{}),
	wiretest.Of(&sandboxapi.PingResponse{}, &api.PingResponse{}),
	wiretest.Of(&sandboxapi.ShutdownSandboxRequest{}, &api.ShutdownSandboxRequest{}),
	wiretest.Of(&sandboxapi.ShutdownSandboxResponse{}, &api.ShutdownSandboxResponse{}),
	wiretest.Of(&sandboxapi.SandboxMetricsRequest{}, &api.SandboxMetricsRequest{}),
	wiretest.Of(&sandboxapi.SandboxMetricsResponse{}, &api.SandboxMetricsResponse{}),
	wiretest.Of(&sandboxapi.UpdateSandboxResponse{}, &api.UpdateSandboxResponse{}),
}

func TestMessagesAreContainerds(t *testing.T) {
	t.Parallel()
	wiretest.Test(t, pairs)
}

func FuzzDecode(f *testing.F) { wiretest.Fuzz(f, pairs) }

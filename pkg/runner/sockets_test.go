package runner

import (
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen"
)

func TestOnlyWhatIsImportedIsAllowed(t *testing.T) {
	t.Parallel()
	none, some := []listen.Socket(nil), make([]listen.Socket, 1)
	for _, tc := range []struct {
		imports   []string
		network   network.Policy
		listeners []listen.Socket
		want      cell.Sockets
	}{
		{nil, network.Full, none, cell.NoSockets},
		{[]string{"fd_write"}, network.Full, none, cell.NoSockets},
		{[]string{"fd_write"}, network.Full, some, cell.ServeSockets},
		{[]string{"fd_write"}, network.None, some, cell.NoSockets},
		{[]string{"fd_write", "sock_accept"}, network.Full, none, cell.NoSockets},
		{[]string{"sock_accept"}, network.Full, some, cell.ServeSockets},
		{[]string{"sock_accept"}, network.None, some, cell.NoSockets},
		{[]string{"sock_getpeeraddr", "sock_accept"}, network.Full, some, cell.AskSockets},
		{[]string{"sock_getpeeraddr"}, network.Full, none, cell.NoSockets},
		{[]string{"sock_open", "sock_send"}, network.Full, none, cell.OpenSockets},
		{[]string{"sock_open"}, network.Listen, none, cell.NoSockets},
		{[]string{"sock_open"}, network.Listen, some, cell.AskSockets},
		{[]string{"sock_open"}, network.None, none, cell.NoSockets},
		{[]string{"sock_getaddrinfo"}, network.Full, none, cell.OpenSockets},
	} {
		var m wasmbin.Module
		for _, name := range tc.imports {
			m.Imports = append(m.Imports, wasmbin.Import{Module: "wasi_snapshot_preview1", Name: name})
		}
		if got := socketsOf(&m, &job.Job{Network: tc.network, Listeners: tc.listeners}); got != tc.want {
			t.Errorf("%v: %d", tc, got)
		}
	}
}

package runner

import (
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
)

// socketImports are the functions of WASI that concern sockets, by what they need.
// Those which make sockets can do all the rest then.
var socketImports = map[string]cell.Sockets{
	"sock_accept":       cell.ServeSockets,
	"sock_recv":         cell.ServeSockets,
	"sock_send":         cell.ServeSockets,
	"sock_shutdown":     cell.ServeSockets,
	"sock_recv_from":    cell.AskSockets,
	"sock_send_to":      cell.AskSockets,
	"sock_getsockopt":   cell.AskSockets,
	"sock_setsockopt":   cell.AskSockets,
	"sock_getlocaladdr": cell.AskSockets,
	"sock_getpeeraddr":  cell.AskSockets,
	"sock_open":         cell.OpenSockets,
	"sock_getaddrinfo":  cell.OpenSockets, // which asks a name server
}

// socketsOf is what a module can do with sockets: what it imports functions for, as
// far as the policy of the network goes. Without listeners there are only sockets
// that it makes; with some it can at least read and write them.
func socketsOf(m *wasmbin.Module, j *job.Job) cell.Sockets {
	most := cell.NoSockets
	listens := len(j.Listeners) > 0 && j.CGI == nil
	if listens {
		most = cell.ServeSockets
	}
	for _, i := range m.Imports {
		most = max(most, socketImports[i.Name])
	}
	if most = min(most, cell.Most(j.Network)); most < cell.OpenSockets && !listens {
		return cell.NoSockets
	}
	return most
}

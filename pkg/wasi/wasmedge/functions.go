package wasmedge

import (
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

type call = preview1.Call

// functions are all of the extension. Of several with one name, the last is that of
// the newest version.
var functions = []preview1.Extension{
	{Name: "sock_open", Params: "iii", Call: sockOpen},
	{Name: "sock_bind", Params: "iii", Call: sockBind},
	{Name: "sock_listen", Params: "ii", Call: sockListen},
	{Name: "sock_connect", Params: "iii", Call: sockConnect},
	{Name: "sock_recv_from", Params: "iiiiiii", Call: sockRecvFrom1},
	{Name: "sock_recv_from", Params: "iiiiiiii", Call: sockRecvFrom2},
	{Name: "sock_send_to", Params: "iiiiiii", Call: sockSendTo},
	{Name: "sock_getsockopt", Params: "iiiii", Call: sockGetsockopt},
	{Name: "sock_setsockopt", Params: "iiiii", Call: sockSetsockopt},
	{Name: "sock_getlocaladdr", Params: "iiii", Call: sockGetlocaladdr1},
	{Name: "sock_getlocaladdr", Params: "iii", Call: sockGetlocaladdr2},
	{Name: "sock_getpeeraddr", Params: "iiii", Call: sockGetpeeraddr1},
	{Name: "sock_getpeeraddr", Params: "iii", Call: sockGetpeeraddr2},
	{Name: "sock_getaddrinfo", Params: "iiiiiiii", Call: sockGetaddrinfo},
}

// accept1 is the first version's of a function that preview 1 has, too.
var accept1 = preview1.Extension{Name: "sock_accept", Params: "ii", Call: sockAccept1}

// Export adds the function that a guest imports by this name with these parameters,
// and tells whether there is one: sock_accept, sock_recv, sock_send and
// sock_shutdown with the parameters of preview 1 are not of the extension. With
// parameters that no version has, the newest is added.
func Export(b wazero.HostModuleBuilder, name string, params []api.ValueType) bool {
	if name == accept1.Name && accept1.Takes(params) {
		accept1.Export(b)
		return true
	}
	known := slices.DeleteFunc(slices.Clone(functions), func(x preview1.Extension) bool { return x.Name != name })
	if len(known) == 0 {
		return false
	}
	version := len(known) - 1
	if i := slices.IndexFunc(known, func(x preview1.Extension) bool { return x.Takes(params) }); i >= 0 {
		version = i
	}
	known[version].Export(b)
	return true
}

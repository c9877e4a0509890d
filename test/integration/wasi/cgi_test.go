package wasi

import (
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestCGI(t *testing.T) {
	d := testenv.StartDocker(t)
	var built testenv.Guests
	d.Build(t, "cgi", "FROM scratch\nCOPY cgi.wasm /cgi.wasm\nENV WAZERO_LISTEN=tcp://:8080\nENTRYPOINT [\"/cgi.wasm\"]\n",
		map[string]testenv.File{"cgi.wasm": {Data: built.Build(t, "cgi", testenv.Wasm)}})
	c := d.RunDetached(t, "--annotation", "io.containerd.wazero.v1.cgi=on", "--publish", "127.0.0.1::8080", "cgi")
	get(t, client(), "http://"+published(t, d, c, "8080")+"/a", "hello from /a\n")
	get(t, client(), "http://"+published(t, d, c, "8080")+"/env", "hello from /a\n")
	t.Logf("%+v", c.Logs(t))
}

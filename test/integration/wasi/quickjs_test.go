package wasi

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/servers"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// serverJS answers what each connection sends first.
const serverJS = `
import * as net from 'wasi_net';
async function serve(c) {
  c.write(await c.read());
}
async function main() {
  let s = new net.WasiTcpServer(8000);
  print('serving');
  for (;;) {
    let c = await s.accept();
    serve(c).catch(e => print(e));
  }
}
main().catch(e => print(e));
`

// clientJS finds the server by its name.
const clientJS = `
import * as net from 'wasi_net';
async function main() {
  let at = net.nsloopup('jsserver', '8000');
  let c = await net.WasiTcpConn.connect(at[0]);
  c.write('by name');
  print(String.fromCharCode(...new Uint8Array(await c.read())));
}
main().catch(e => print(e));
`

// quickjs runs a program of WasmEdge's ecosystem as it is.
func quickjs(t *testing.T, d *testenv.Docker) {
	d.Build(t, "quickjs", "FROM scratch\nCOPY . /\nENTRYPOINT [\"/quickjs.wasm\"]\n", map[string]testenv.File{
		"quickjs.wasm": {Data: servers.QuickJS(t)}, "server.js": {Data: []byte(serverJS)}, "client.js": {Data: []byte(clientJS)},
	})
	d.Docker(t, "network", "create", "js")
	t.Cleanup(func() { _, _ = d.Try("network", "rm", "js") })
	server := d.RunDetached(t, "--network", "js", "--network-alias", "jsserver", "--publish", "127.0.0.1::8000", "quickjs", "/server.js")
	server.WaitLog(t, "serving")
	address := published(t, d, server, "8000")
	for i := range 20 {
		if got, err := echo(address, fmt.Sprint("hello ", i)); err != nil || got != fmt.Sprint("hello ", i) {
			t.Errorf("%q, %v", got, err)
		}
	}
	run := func(args ...string) testenv.Result {
		return d.Do(t, "", append(append([]string{"run", "--rm", "--runtime", testenv.Runtime, "--network", "js"}, args...), "quickjs", "/client.js")...)
	}
	if r := run(); r.Status != 0 || r.Stdout != "by name\n" {
		t.Errorf("%+v", r)
	}
	for _, policy := range []string{"listen", "none"} {
		if r := run("--annotation", "io.containerd.wazero.v1.network="+policy); strings.Contains(r.Stdout, "by name") {
			t.Errorf("%s: %+v", policy, r)
		}
	}
}

// echo sends a text, and returns what comes back.
func echo(address, text string) (string, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	b := make([]byte, len(text))
	n, err := io.ReadFull(c, b)
	return string(b[:n]), err
}

// Package wasi runs servers that were compiled to Wasm, as users run them.
package wasi

import (
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// annotation asks for listeners.
const annotation = "io.containerd.wazero.v1.listen="

// guests are the images, each with one module of its name.
var guests = []string{"webserver", "acceptor", "datagrams", "hoarder"}

// TestServers runs everything on one dockerd.
func TestServers(t *testing.T) {
	d := testenv.StartDocker(t)
	var built testenv.Guests
	for _, name := range guests {
		d.Build(t, name, "FROM scratch\nCOPY "+name+".wasm /"+name+".wasm\nENTRYPOINT [\"/"+name+".wasm\"]\n",
			map[string]testenv.File{name + ".wasm": {Data: built.Build(t, name, testenv.Wasm)}})
	}
	d.Build(t, "asking", "FROM acceptor\nENV WAZERO_LISTEN=tcp://:8080\n", nil)
	t.Run("group", func(t *testing.T) {
		for name, run := range map[string]func(*testing.T, *testenv.Docker){
			"net/http with -p":        webserver,
			"accept in C with -p":     acceptor,
			"an image that asks":      askingImage,
			"a unix socket":           unixSocket,
			"datagrams":               datagrams,
			"ports below 1024":        lowPorts,
			"loopback":                loopback,
			"what cannot be had":      refusals,
			"exec in a server":        execInServer,
			"a graceful stop":         gracefulStop,
			"an immediate stop":       immediateStop,
			"several of one net/http": several,
			"QuickJS of WasmEdge":     quickjs,
			"as many files as may be": openFiles,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t, d)
			})
		}
	})
	t.Run("every language", func(t *testing.T) { languages(t, d, &built) })
	d.Docker(t, "image", "prune", "--all", "--force")
	d.Containerd.RequireDirect(t)
}

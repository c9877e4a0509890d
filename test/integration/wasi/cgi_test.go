package wasi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// asCGI are flags for a container that answers requests by running its program.
var asCGI = []string{"--annotation", "io.containerd.wazero.v1.cgi=on", "--publish", "127.0.0.1::8080"}

// TestCGI runs everything about CGI on one dockerd, by each launcher.
func TestCGI(t *testing.T) {
	for _, launcher := range []string{"auto", "runc"} {
		t.Run(launcher, func(t *testing.T) {
			t.Setenv("WAZERO_SHIM_LAUNCHER", launcher)
			testCGI(t)
		})
	}
}

func testCGI(t *testing.T) {
	d := testenv.StartDocker(t)
	var built testenv.Guests
	d.Build(t, "cgi", "FROM scratch\nCOPY cgi.wasm /cgi.wasm\nENV WAZERO_LISTEN=http=tcp://:8080\nENTRYPOINT [\"/cgi.wasm\"]\n",
		map[string]testenv.File{"cgi.wasm": {Data: built.Build(t, "cgi", testenv.Wasm)}})
	buildPHP(t, d)
	t.Run("group", func(t *testing.T) {
		for name, run := range map[string]func(*testing.T, *testenv.Docker){
			"what a program is told":        cgiTold,
			"bodies":                        cgiBodies,
			"answers":                       cgiAnswers,
			"what is no answer":             cgiNoAnswers,
			"answers that are cut":          cgiCut,
			"requests that nobody sees":     cgiRefused,
			"bodies that are requests":      cgiSmuggled,
			"nothing is left of a request":  cgiStateless,
			"answers come as they are made": cgiStreams,
			"clients that go away":          cgiGone,
			"a thousand connections":        cgiThousand,
			"a memory limit":                cgiMemory,
			"a limit of threads":            cgiThreads,
			"annotations that cannot be":    cgiWrong,
			"exec":                          cgiExec,
			"a user, read-only":             cgiUser,
			"an immediate stop":             cgiStop,
			"a graceful stop":               cgiGracefulStop,
			"programs that do not end":      cgiEndless,
			"PHP":                           cgiPHP,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t, d)
			})
		}
	})
	t.Run("idle", func(t *testing.T) { cgiIdle(t, d) })
	d.Docker(t, "image", "prune", "--all", "--force")
	d.Containerd.RequireDirect(t)
}

// startCGI returns a container and the URL of its server.
func startCGI(t *testing.T, d *testenv.Docker, flags ...string) (*testenv.Container, string) {
	t.Helper()
	args := append(append([]string{}, asCGI...), flags...)
	c := d.RunDetached(t, append(args, "cgi")...)
	return c, "http://" + published(t, d, c, "8080")
}

// waitError waits for a line of a container's standard error.
func waitError(t *testing.T, c *testenv.Container, line string) {
	t.Helper()
	testenv.Eventually(t, line, func() error {
		if logs := c.Logs(t); !strings.Contains(logs.Stderr, line) {
			return fmt.Errorf("there is %+v", logs)
		}
		return nil
	})
}

package containerd

import (
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestSmoke(t *testing.T) {
	var g testenv.Guests
	rt := os.Getenv("RT")
	v := os.Getenv("CV")
	if v == "" {
		v = testenv.Newest
	}
	kind := testenv.Wasm
	if rt == testenv.RuncRuntime {
		kind = testenv.Native
	}
	c := testenv.StartContainerd(t, v)
	img := g.Multi(t, kind)
	c.Import(t, img)
	p := "/multi.wasm"
	if kind == testenv.Native {
		p = "/multi"
	}
	t.Log(c.Ctr(t, "run", "--rm", "--runtime", rt, img.Name, "x", p, "echo", "hello"))
}

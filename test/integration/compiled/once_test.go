package compiled

import (
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestContainersOfANewImageCompileItOnce starts ten at once: in one shim, and in
// ten.
func TestContainersOfANewImageCompileItOnce(t *testing.T) {
	const many = 10
	var guests testenv.Guests
	for name, opts := range map[string][]oci.SpecOpts{
		"one shim":  {pod("p")},
		"ten shims": nil,
	} {
		t.Run(name, func(t *testing.T) {
			c := testenv.StartContainerd(t, testenv.Newest)
			img := guests.Multi(t, testenv.Wasm)
			c.Import(t, img)
			if opts != nil { // a pod's shim is there before its containers
				c.Run(t, testenv.Spec{ID: "first", Image: tiny(t, c), Opts: opts})
			}
			var wg sync.WaitGroup
			for i := range many {
				wg.Go(func() {
					id := fmt.Sprint("c", i)
					k, err := c.Create(t, testenv.Spec{ID: id, Image: img, Args: []string{"/multi.wasm", "sleep"}, Opts: opts})
					if err != nil {
						t.Errorf("create %s: %v", id, err)
						return
					}
					if err := k.Start(k.Context()); err != nil {
						t.Errorf("start %s: %v", id, err)
						return
					}
					k.Stdout.WaitFor(t, "sleeping")
					k.Signal(t, syscall.SIGTERM)
					k.Finish(t)
				})
			}
			wg.Wait()
			all := map[string]start{}
			for i := range many {
				id := fmt.Sprint("c", i)
				all[id] = started(t, c, id)
			}
			outcomes := count(all)
			if outcomes["compiled"] != 1 || outcomes["compiled"]+outcomes["waited"]+outcomes["hit"] != many {
				t.Errorf("outcomes: %v, want one compiled and nine that waited or came later", outcomes)
			}
			t.Logf("%v", outcomes)
		})
	}
}

// tiny is the image of a small module that sleeps.
func tiny(t *testing.T, c *testenv.Containerd) testenv.Image {
	t.Helper()
	img := module("daemon", testenv.Example(t, "daemon"))
	c.Import(t, img)
	return img
}

// TestExecUsesTheCache: what an exec runs is found there too, and an unchanged
// module is not hashed again.
func TestExecUsesTheCache(t *testing.T) {
	var guests testenv.Guests
	c := testenv.StartContainerd(t, testenv.Newest)
	img := guests.Multi(t, testenv.Wasm)
	c.Import(t, img)
	k := c.Run(t, testenv.Spec{ID: "c", Image: img, Args: []string{"/multi.wasm", "sleep"}})
	if s := started(t, c, "c"); s["outcome"] != "compiled" || s["code"] != "shared" {
		t.Errorf("the first start: %v", s)
	}
	if r := k.Exec(t, "e", "/multi.wasm", "echo", "hello"); r.Stdout != "hello\n" {
		t.Errorf("exec: %+v", r)
	}
	testenv.Eventually(t, "hit", func() error {
		if s := starts(c)["c"]; s["outcome"] != "hit" || s["exec"] != "e" {
			return fmt.Errorf("the last start is %v", s)
		}
		return nil
	})
}

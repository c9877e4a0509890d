package artifact

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestFeatures: such a container is one like any other.
func TestFeatures(t *testing.T) {
	n := start(t, testenv.Newest)
	p := cncf(multi(t))
	p.layers[0].title = "app"
	image := n.registry.tag("app", n.registry.picture(t, p))
	n.pull(t, image)
	volume := t.TempDir()
	must(t, os.WriteFile(filepath.Join(volume, "in"), []byte("from the host\n"), 0o644))
	mount := oci.WithMounts([]specs.Mount{{Destination: "/data", Type: "bind", Source: volume, Options: []string{"rbind", "rw"}}})

	t.Run("arguments", func(t *testing.T) {
		if out := n.run(t, "args", image, "", []string{"app", "args", "a b", ""}); out != "a b\n\n" {
			t.Errorf("%q", out)
		}
	})
	t.Run("environment", func(t *testing.T) {
		out := n.run(t, "env", image, "", []string{"/", "env"}, oci.WithEnv([]string{"A=B"}), oci.WithProcessCwd("/data"), mount)
		if !strings.Contains("\n"+out, "\nA=B\n") || !strings.Contains("\n"+out, "\nPWD=/data\n") {
			t.Errorf("%q", out)
		}
	})
	t.Run("volume", func(t *testing.T) {
		if out := n.run(t, "read", image, "", []string{"/", "read", "/data/in"}, mount); out != "from the host\n" {
			t.Errorf("%q", out)
		}
		n.run(t, "write", image, "", []string{"/", "write", "/data/out", "x"}, mount)
		if got, err := os.ReadFile(filepath.Join(volume, "out")); err != nil || string(got) != "x\n" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("read-only root", func(t *testing.T) {
		if out := n.run(t, "ro", image, "", []string{"/", "echo", "x"}, oci.WithRootFSReadonly()); out != "x\n" {
			t.Errorf("%q", out)
		}
	})
	t.Run("user", func(t *testing.T) {
		if out := n.run(t, "user", image, "", []string{"/", "echo", "x"}, oci.WithUIDGID(1234, 1234)); out != "x\n" {
			t.Errorf("%q", out)
		}
	})
	t.Run("status", func(t *testing.T) {
		if o, err := n.try(t, "status", image, "", []string{"/", "exit", "42"}); err != nil || o.status != 42 {
			t.Errorf("%+v, %v", o, err)
		}
	})
	t.Run("memory limit", func(t *testing.T) {
		o, err := n.try(t, "memory", image, "", []string{"/", "alloc", "200"}, oci.WithMemoryLimit(64<<20))
		if err != nil || o.status != 137 {
			t.Errorf("%+v, %v", o, err)
		}
	})
	t.Run("memory annotation", func(t *testing.T) {
		o, err := n.try(t, "annotation", image, "", []string{"/", "alloc", "200"},
			oci.WithAnnotations(map[string]string{"io.containerd.wazero.v1.memory-limit": "64Mi"}))
		if err != nil || o.status != 137 {
			t.Errorf("%+v, %v", o, err)
		}
	})
	t.Run("unknown annotation", func(t *testing.T) {
		_, err := n.try(t, "unknown", image, "", []string{"/", "echo"},
			oci.WithAnnotations(map[string]string{"io.containerd.wazero.v1.memory-limits": "64Mi"}))
		if err == nil || !strings.Contains(err.Error(), `annotation "io.containerd.wazero.v1.memory-limits"`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("export", func(t *testing.T) {
		_, err := n.try(t, "export", image, "", []string{"/#serve"})
		if err == nil || !strings.Contains(err.Error(), `"serve"`) || !strings.Contains(err.Error(), "_start") {
			t.Errorf("got %v", err)
		}
		if out := n.run(t, "start", image, "", []string{"app#_start", "echo", "x"}); out != "x\n" {
			t.Errorf("%q", out)
		}
	})
	t.Run("compiled once", func(t *testing.T) {
		testenv.Eventually(t, "a start with code of the cache, found by the layer's digest", func() error {
			for line := range strings.Lines(n.Log()) {
				if strings.Contains(line, "module started") && strings.Contains(line, "outcome=hit") &&
					strings.Contains(line, "digest="+p.layers[0].sum()[:12]) {
					return nil
				}
			}
			return fmt.Errorf("there is none in the log")
		})
	})
}

// TestExec: the module once more, and nothing else.
func TestExec(t *testing.T) {
	n := start(t, testenv.Newest)
	p := cncf(multi(t))
	p.layers[0].title = "app"
	image := n.registry.tag("app", n.registry.picture(t, p))
	n.pull(t, image)
	c := n.container(t, "exec", image, "", []string{"main", "sleep"})
	k, stdout, _, err := task(t, n, c)
	must(t, err)
	_, ctx := n.Client(t)
	exit, err := k.Wait(ctx)
	must(t, err)
	must(t, k.Start(ctx))
	stdout.WaitFor(t, "sleeping")
	memory := maps(t, int(k.Pid()))

	exec := func(id string, args ...string) (outcome, error) {
		spec, err := c.Spec(ctx)
		must(t, err)
		process := *spec.Process
		process.Args = args
		var stdout, stderr testenv.Buffer
		e, err := k.Exec(ctx, id, &process, cio.NewCreator(cio.WithStreams(nil, &stdout, &stderr), cio.WithFIFODir(filepath.Join(n.Dir, "fifo"))))
		must(t, err)
		defer e.Delete(ctx, client.WithProcessKill)
		ended, err := e.Wait(ctx)
		must(t, err)
		if err := e.Start(ctx); err != nil {
			return outcome{}, err
		}
		status := (<-ended).ExitCode()
		e.IO().Wait()
		return outcome{stdout.String(), stderr.String(), status}, nil
	}
	for i, name := range []string{"/", "main", "app", "/app", "./x.wasm"} {
		if o, err := exec(fmt.Sprint("e", i), name, "echo", "again"); err != nil || o.stdout != "again\n" || o.status != 0 {
			t.Errorf("%q: %+v, %v", name, o, err)
		}
	}
	for i, name := range []string{"ls", "sh", "/bin/sh"} {
		if o, err := exec(fmt.Sprint("f", i), name, "echo", "again"); err == nil || !strings.Contains(err.Error(), "no such file or directory") ||
			!strings.Contains(err.Error(), `"app"`) {
			t.Errorf("%q: %+v, %v", name, o, err)
		}
	}
	// The image goes, the container stays.
	n.Ctr(t, "images", "rm", "--sync", image)
	if o, err := exec("g", "/", "echo", "again"); err == nil || !strings.Contains(err.Error(), "pull the image again") {
		t.Errorf("without the image: %+v, %v", o, err)
	}
	if slices.Contains(memory, "module.wasm") {
		t.Errorf("the guest's process has %q", memory)
	}
	must(t, k.Kill(ctx, syscall.SIGTERM))
	if s := <-exit; s.ExitCode() != 143 {
		t.Errorf("status %d", s.ExitCode())
	}
	_, err = k.Delete(ctx)
	must(t, err)
}

// maps are the descriptors of a process: where they lead.
func maps(t *testing.T, pid int) []string {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	var all []string
	for _, l := range links {
		target, _ := os.Readlink(l)
		all = append(all, filepath.Base(strings.TrimSuffix(target, " (deleted)")))
	}
	return all
}

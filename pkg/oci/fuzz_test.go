package oci

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// fuzzImage is a root file system beside a secret, and a volume; inside tells
// whether an open file is one of the two's.
func fuzzImage(f *testing.F) (rootfs, volume string, inside func(*os.File) bool) {
	f.Helper()
	base := f.TempDir()
	for name, content := range map[string]string{
		"secret":            wasmModule,
		"rootfs/app.wasm":   wasmModule,
		"rootfs/bin/tool":   nativeELF(),
		"rootfs/bin/tini":   nativeELF(),
		"rootfs/text":       "text",
		"rootfs/c.wasm":     wasmComponent,
		"rootfs/a/b/c.wasm": wasmModule,
		"volume/v.wasm":     wasmModule,
	} {
		name = filepath.Join(base, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o755)); err != nil {
			f.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"rootfs/up":    "../secret",
		"rootfs/out":   base + "/secret",
		"rootfs/root":  "/",
		"rootfs/loop":  "loop",
		"rootfs/a/dir": "../../../../..",
		"volume/up":    "../secret",
	} {
		if err := os.Symlink(target, filepath.Join(base, name)); err != nil {
			f.Fatal(err)
		}
	}
	rootfs, volume = filepath.Join(base, "rootfs"), filepath.Join(base, "volume")
	files := filesBelow(f, rootfs, volume)
	return rootfs, volume, func(g *os.File) bool {
		info, err := g.Stat()
		return err == nil && slices.ContainsFunc(files, func(i os.FileInfo) bool { return os.SameFile(i, info) })
	}
}

func filesBelow(f *testing.F, dirs ...string) (files []os.FileInfo) {
	f.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			files = append(files, info)
			return err
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	return files
}

func FuzzOpenStaysInside(f *testing.F) {
	rootfs, volume, inside := fuzzImage(f)
	for _, path := range []string{"/app.wasm", "a/b/../b/c.wasm", "/up", "/out", "root/root/app.wasm", "/a/dir/app.wasm", "/vol/up", "/vol/v.wasm", "/new/er/v.wasm", "..", "\x00"} {
		f.Add(path, "/vol")
		f.Add(path, "/root/new/../new/er")
	}
	f.Fuzz(func(t *testing.T, path, destination string) {
		tree, err := BundleTree(rootfs, nil)
		check(t, err)
		defer tree.Close()
		tree.addMount(bind(volume, destination))
		tree.addMount(tmpfs("/tmp"))
		g, resolved, err := tree.Open(path, owner())
		if err != nil {
			return
		}
		defer g.Close()
		if !inside(g) {
			t.Fatalf("%q opened a file outside as %q", path, resolved)
		}
		if resolved != filepath.Clean(resolved) || !filepath.IsAbs(resolved) {
			t.Fatalf("%q resolved to %q", path, resolved)
		}
	})
}

func FuzzPlanOfAnyConfig(f *testing.F) {
	rootfs, volume, inside := fuzzImage(f)
	f.Add([]byte(minimalConfig))
	for _, args := range []string{`"/sbin/tini","--","/app.wasm#x"`, `"tool"`, `"/bin/tini","--","v.wasm"`, `"/c.wasm"`, `"/up"`, `"/out#y"`, `"/vol/v.wasm"`} {
		f.Add([]byte(`{"root":{"path":"x"},"process":{"cwd":"/vol","args":[` + args + `],"env":["PATH=/bin:/vol"],"user":{"uid":5,"additionalGids":[1]},
			"capabilities":{"effective":["CAP_CHOWN"]}},"mounts":[{"destination":"/vol","type":"bind"},{"destination":"/t","type":"tmpfs"}],
			"annotations":{"run.oci.handler":"wasm-smart"},"hooks":{"prestart":[]},"linux":{"resources":{"memory":{"limit":1}},"uidMappings":[{"size":9}]}}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := ReadSpec(filepath.Join(directory(t, file("config.json", string(data), 0o600)), "config.json"))
		if err != nil {
			return
		}
		// The bundle comes from containerd: its sources may be anywhere.
		for i := range config.Spec.Mounts {
			config.Spec.Mounts[i].Source = volume
		}
		tree, err := BundleTree(rootfs, config.Spec.Mounts)
		check(t, err)
		defer tree.Close()
		p, err := PlanContainer(config.Spec, tree)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) || strings.Contains(err.Error(), "\n\n") {
				t.Fatalf("not an invalid argument: %v", err)
			}
			return
		}
		defer p.Close()
		checkPlan(t, p, inside)
		_, _ = config.Rewrite(p)
		if e, err := PlanExec(config.Spec.Process, config.Spec, tree); err == nil {
			checkPlan(t, e, inside)
			check(t, e.Close())
		}
	})
}

func checkPlan(t *testing.T, p *Plan, inside func(*os.File) bool) {
	t.Helper()
	switch p.Kind {
	case Native:
		if p.Module != nil || p.Job != nil {
			t.Fatalf("native plan %+v", p)
		}
	case Wasm:
		if !inside(p.Module) {
			t.Fatalf("module %q is outside", p.Job.Module)
		}
		if p.Job.Export == "" || len(p.Job.Args) == 0 {
			t.Fatalf("job %+v", p.Job)
		}
	default:
		t.Fatalf("kind %v", p.Kind)
	}
}

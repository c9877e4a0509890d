package oci

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

func TestMissingPrograms(t *testing.T) {
	t.Parallel()
	root := image(t)
	for name, c := range map[string]struct {
		spec  *specs.Spec
		args  []string // of the missing program; nil if it is there, or broken
		fails bool
	}{
		"dummy":             {spec([]string{"/", "x"}), []string{"/", "x"}, true},
		"path":              {spec([]string{"/nowhere", "x"}), []string{"/nowhere", "x"}, true},
		"path through file": {spec([]string{"/app.wasm/x"}), []string{"/app.wasm/x"}, true},
		"name":              {spec([]string{"nowhere"}), []string{"nowhere"}, true},
		"export":            {spec([]string{"/nowhere#x"}), []string{"/nowhere#x"}, true},
		"behind an init":    {spec([]string{"/sbin/docker-init", "--", "/", "x"}), []string{"/", "x"}, false},
		"hook may bring it": {spec([]string{"/nowhere"}, hook), []string{"/nowhere"}, false},
		"hook, dummy":       {spec([]string{"/"}, hook), []string{"/"}, true},
		"below a tmpfs":     {spec([]string{"/tmp/x"}, mounts(tmpfs("/tmp"))), []string{"/tmp/x"}, false},
		"module":            {spec([]string{"/app.wasm"}), nil, false},
		"init, native":      {spec([]string{"/sbin/docker-init", "--", "/usr/bin/tool"}), nil, false},
		"not a program":     {spec([]string{"/text.wasm"}), nil, true},
		"closed":            {spec([]string{"/closed/app.wasm"}, as(4711)), nil, true},
	} {
		p, err := plan(t, root, c.spec)
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		switch m := MissingProgram(p, err); {
		case m == nil && c.args != nil:
			t.Errorf("%s: nothing is missing: %v", name, err)
		case m != nil && !slices.Equal(m.Args, c.args):
			t.Errorf("%s: %q is missing", name, m.Args)
		case m != nil && (!errdefs.IsInvalidArgument(m) || !strings.HasPrefix(m.Error(), "process.args[0] ")):
			t.Errorf("%s: %v", name, m)
		}
	}
}

func TestSplitExport(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"app": "", "app#x": "x", "a#b": "", "a#b#x": "x", "app#x#y": "x#y", "other": "-", "other#x": "-", "app#": "-", "#app": "-",
	} {
		export, ok := SplitExport(command, func(name string) bool { return name == "app" || name == "a#b" })
		if !ok {
			export = "-"
		}
		if export != want {
			t.Errorf("%q: %q", command, export)
		}
	}
}

func TestPlanArtifact(t *testing.T) {
	t.Parallel()
	open := func(content string) *os.File {
		path := filepath.Join(t.TempDir(), "m")
		check(t, os.WriteFile(path, []byte(content), 0o600))
		f, err := os.Open(path)
		check(t, err)
		return f
	}
	s := spec([]string{"/#serve", "x"}, env("A=B"), cwd("/srv"), annotation("io.containerd.wazero.v1.private-code", "true"))
	p, err := PlanArtifact(s.Process, s, Artifact{File: open(wasmModule), Digest: new([32]byte), Name: "n", Args: s.Process.Args, Export: "serve"})
	check(t, err)
	defer p.Close()
	if p.Kind != Wasm || p.Digest == nil || p.Job.Module != "n" || p.Job.Export != "serve" || !p.Job.PrivateCode ||
		!slices.Equal(p.Job.Args, []string{"/", "x"}) || !slices.Equal(p.Job.Env, []string{"A=B", "PWD=/srv"}) {
		t.Errorf("got %+v, job %+v", p, p.Job)
	}
	f := open(wasmComponent)
	if _, err := PlanArtifact(s.Process, s, Artifact{File: f, Name: "n", Args: []string{"/"}}); !errdefs.IsInvalidArgument(err) ||
		!strings.Contains(err.Error(), `"n": is a Wasm component`) {
		t.Errorf("got %v", err)
	}
	if err := f.Close(); err == nil {
		t.Error("the file of a plan that failed is open")
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	const p = annotationPrefix
	for name, c := range map[string]struct {
		annotations map[string]string
		want        settings
		err         string
	}{
		"none":                 {nil, settings{}, ""},
		"others'":              {map[string]string{"io.containerd.wazero": "x", "io.containerd.wazero.v2.x": "y", "x/" + p + "y": ""}, settings{}, ""},
		"both":                 {map[string]string{p + "memory-limit": "64Mi", p + "private-code": "true"}, settings{memoryLimit: 64 << 20, privateCode: true}, ""},
		"bytes":                {map[string]string{p + "memory-limit": "1000"}, settings{memoryLimit: 1000}, ""},
		"this one":             {map[string]string{p + "private-code": "false", p + "private-code/web": "true", annotationContainerName: "web"}, settings{privateCode: true}, ""},
		"another one":          {map[string]string{p + "private-code/web": "true", annotationContainerName: "db"}, settings{}, ""},
		"no name":              {map[string]string{p + "private-code/web": "true"}, settings{}, ""},
		"sandbox":              {map[string]string{p + "whatever": "x", annotationContainerType: "sandbox"}, settings{}, ""},
		"unknown":              {map[string]string{p + "memory_limit": "1"}, settings{}, `annotation "` + p + `memory_limit": this version of the runtime has none of that name, it knows cgi, cgi-timeout, clock, env, `},
		"unknown, of another":  {map[string]string{p + "x/db": "1", annotationContainerName: "web"}, settings{}, `"` + p + `x/db"`},
		"wrong, of another":    {map[string]string{p + "private-code/db": "1", annotationContainerName: "web"}, settings{}, `private-code/db="1": want "true" or "false"`},
		"wrong size":           {map[string]string{p + "memory-limit": "much"}, settings{}, `memory-limit="much": want a size`},
		"zero":                 {map[string]string{p + "memory-limit": "0"}, settings{}, "want a size"},
		"empty name":           {map[string]string{p: "x"}, settings{}, "none of that name"},
		"nothing":              {map[string]string{p + "env": "none", p + "clock": "coarse", p + "preopens": "/data:ro,/cache"}, settings{noEnv: true, coarseClock: true, preopens: []job.Preopen{{Guest: "/data", Host: "/data", ReadOnly: true}, {Guest: "/cache", Host: "/cache"}}}, ""},
		"everything":           {map[string]string{p + "env": "all", p + "clock": "fine", p + "preopens": "/"}, settings{preopens: []job.Preopen{{Guest: "/", Host: "/"}}}, ""},
		"wrong env":            {map[string]string{p + "env": "some"}, settings{}, `env="some": want "all" or "none"`},
		"wrong clock":          {map[string]string{p + "clock": "1ms"}, settings{}, `clock="1ms": want "fine" or "coarse"`},
		"graceful":             {map[string]string{p + "stop": "graceful"}, settings{graceful: true}, ""},
		"immediate":            {map[string]string{p + "stop": "graceful", p + "stop/web": "immediate", annotationContainerName: "web"}, settings{}, ""},
		"wrong stop":           {map[string]string{p + "stop": "slow"}, settings{}, `stop="slow": want "immediate" or "graceful"`},
		"no directory":         {map[string]string{p + "preopens": ""}, settings{}, `"" is no directory to open: want a list such as "/data:ro,/cache"`},
		"relative":             {map[string]string{p + "preopens": "/a,b"}, settings{}, `"b" is no directory`},
		"beyond the root":      {map[string]string{p + "preopens": "/../b"}, settings{}, `"/../b" is no directory`},
		"unknown mode":         {map[string]string{p + "preopens": "/a:rx"}, settings{}, `"/a:rx" is no directory`},
		"read-only in another": {map[string]string{p + "preopens": "/srv/conf:ro,/srv"}, settings{}, `"/srv/conf:ro" could be changed through "/srv"`},
		"read-only in all":     {map[string]string{p + "preopens": "/,/data:ro"}, settings{}, `"/data:ro" could be changed through "/"`},
		"twice":                {map[string]string{p + "preopens": "/a:ro,/a"}, settings{}, `"/a" is there twice`},
	} {
		got, err := settingsOf(c.annotations)
		switch {
		case c.err == "" && (err != nil || !reflect.DeepEqual(got, c.want)):
			t.Errorf("%s: %+v, %v", name, got, err)
		case c.err != "" && (!errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range [][3]int64{{0, 0, 0}, {64, 0, 64}, {0, 32, 32}, {64, 32, 32}, {32, 64, 32}} {
		if got := (settings{memoryLimit: c[1]}).bound(c[0]); got != c[2] {
			t.Errorf("limit %d, annotation %d: %d", c[0], c[1], got)
		}
	}
}

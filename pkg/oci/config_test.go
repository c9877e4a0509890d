package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

const minimalConfig = `{"ociVersion":"1.3.0","root":{"path":"rootfs"},"process":{"user":{"uid":0,"gid":0},"cwd":"/","args":["/app.wasm"],"env":["A=b"]}}`

func readConfig(t *testing.T, content string) (*Config, error) {
	t.Helper()
	return ReadSpec(filepath.Join(directory(t, file("config.json", content, 0o600)), "config.json"))
}

func TestBadConfigIsNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"empty":         {"", "malformed JSON at byte 0"},
		"truncated":     {minimalConfig[:60], "truncated or malformed JSON at byte 60"},
		"not JSON":      {"hello", "truncated or malformed JSON at byte 1"},
		"two documents": {minimalConfig + "{}", "malformed JSON at byte"},
		"wrong type":    {`{"process":{"args":"x"}}`, "process.args is a JSON string, which it cannot be"},
		"no root":       {`{"process":{"cwd":"/","args":["x"]}}`, "root is missing"},
		"no root path":  {`{"root":{},"process":{"cwd":"/","args":["x"]}}`, "root.path is missing"},
		"no process":    {`{"root":{"path":"x"}}`, "process is missing"},
		"no args":       {`{"root":{"path":"x"},"process":{"cwd":"/"}}`, "process.args is empty"},
		"no cwd":        {`{"root":{"path":"x"},"process":{"args":["x"]}}`, `process.cwd "" is not an absolute path`},
		"too large":     {strings.Repeat(" ", MaxConfigSize+1), "larger than the limit of 16777216 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := readConfig(t, c.content)
			if err == nil || !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "config.json") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestMissingConfigIsAnError(t *testing.T) {
	t.Parallel()
	_, err := ReadSpec(filepath.Join(t.TempDir(), "config.json"))
	if err == nil || !strings.Contains(err.Error(), "config.json: no such file or directory") {
		t.Error(err)
	}
}

func wasmPlan() *Plan {
	return &Plan{Kind: Wasm, Job: &job.Job{Args: []string{"app.wasm", "<&>"}}}
}

func TestRewriteChangesArgsAndEnvOnly(t *testing.T) {
	t.Parallel()
	const content = `{"ociVersion":"9.9.9","future":{"a":[1e400,{"b":null}]},"root":{"path":"rootfs","future":true},
		"process":{"user":{"uid":7,"gid":8,"future":1},"cwd":"/w","args":["/app.wasm#f"],"env":["A=b"],"future":12345678901234567890},
		"annotations":{"x":"<y>"},"linux":{"future":"z"}}`
	c, err := readConfig(t, content)
	check(t, err)
	data, err := c.Rewrite(wasmPlan())
	check(t, err)
	var got, want map[string]any
	check(t, unmarshal(data, &got))
	check(t, unmarshal([]byte(content), &want))
	process := want["process"].(map[string]any)
	process["args"] = []any{"/proc/self/fd/3", "app.wasm", "<&>"}
	process["env"] = []any{"WAZERO_SHIM_ROLE=runner", "GOMAXPROCS=1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %v", data, want)
	}
	if c.Spec.Process.Args[0] != "/app.wasm#f" || c.Spec.Process.Env[0] != "A=b" {
		t.Error("Rewrite changed the spec itself")
	}
}

// unmarshal keeps numbers as they are written.
func unmarshal(data []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	return d.Decode(v)
}

func TestRewriteOfANativePlanIsTheOriginal(t *testing.T) {
	t.Parallel()
	c, err := readConfig(t, minimalConfig)
	check(t, err)
	data, err := c.Rewrite(&Plan{Kind: Native})
	if err != nil || string(data) != minimalConfig {
		t.Errorf("%s %v", data, err)
	}
}

// JSON keys are matched without regard to case, and may come twice: what the
// launcher reads must be what was planned.
func TestRewriteLeavesNoSecondMeaning(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		ok      bool
	}{
		"another spelling": {`{"root":{"path":"r"},"Process":{"cwd":"/","ARGS":["x"],"Env":["GODEBUG=1"]}}`, true},
		"args twice":       {`{"root":{"path":"r"},"process":{"cwd":"/","args":["a"],"Args":["b"],"env":[],"ENV":["GODEBUG=1"]}}`, true},
		"process twice":    {`{"root":{"path":"r"},"process":{"cwd":"/","args":["a"]},"PROCESS":{"args":["evil"]}}`, true},
		"an odd letter":    {`{"root":{"path":"r"},"process":{"cwd":"/","args":["a"]},"proceſs":{"args":["evil"]}}`, false},
		"the same twice":   {`{"root":{"path":"r"},"process":{"cwd":"/x","args":["a"]},"process":{"env":["A=b"]}}`, false},
	} {
		config, err := readConfig(t, c.content)
		check(t, err)
		data, err := config.Rewrite(wasmPlan())
		if !c.ok {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		check(t, err)
		var s specs.Spec
		check(t, json.Unmarshal(data, &s))
		if !reflect.DeepEqual(s.Process.Args, []string{"/proc/self/fd/3", "app.wasm", "<&>"}) || !reflect.DeepEqual(s.Process.Env, []string{"WAZERO_SHIM_ROLE=runner", "GOMAXPROCS=1"}) {
			t.Errorf("%s: %s", name, data)
		}
	}
}

func TestRewriteProcessLeavesTheOriginalAlone(t *testing.T) {
	t.Parallel()
	p := &specs.Process{Args: []string{"a"}, Env: []string{"A=b"}, Cwd: "/w", Terminal: true}
	got := RewriteProcess(p, wasmPlan())
	if !reflect.DeepEqual(got.Args, []string{"/proc/self/fd/3", "app.wasm", "<&>"}) || got.Cwd != "/w" || !got.Terminal {
		t.Errorf("%+v", got)
	}
	if !reflect.DeepEqual(p, &specs.Process{Args: []string{"a"}, Env: []string{"A=b"}, Cwd: "/w", Terminal: true}) {
		t.Errorf("changed to %+v", p)
	}
	if RewriteProcess(p, &Plan{Kind: Native}) != p {
		t.Error("a native process is not itself")
	}
}

func TestTreeOfABundleTakesRelativePathsFromIt(t *testing.T) {
	t.Parallel()
	bundle := directory(t,
		file("config.json", `{"root":{"path":"rootfs"},"process":{"cwd":"/","args":["/vol/app.wasm"]},
			"mounts":[{"destination":"/vol","type":"bind","source":"volume","options":["rbind"]}]}`, 0o600),
		dir("rootfs", 0o755),
		module("volume/app.wasm"),
	)
	c, err := ReadSpec(filepath.Join(bundle, "config.json"))
	check(t, err)
	tree, err := c.Tree()
	check(t, err)
	defer tree.Close()
	p, err := PlanContainer(c.Spec, tree)
	check(t, err)
	defer p.Close()
	if p.Kind != Wasm || c.Spec.Mounts[0].Source != "volume" {
		t.Errorf("%v %+v", p.Kind, c.Spec.Mounts)
	}
}

func TestWasmNeedsProc(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mounts []specs.Mount
		ok     bool
	}{
		"proc":          {[]specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}}, true},
		"unclean":       {[]specs.Mount{{Destination: "proc//", Type: "proc"}}, true},
		"the host's":    {[]specs.Mount{bind("/proc", "/proc")}, true},
		"none":          {nil, false},
		"covered":       {[]specs.Mount{{Destination: "/proc", Type: "proc"}, tmpfs("/proc")}, false},
		"somewhere":     {[]specs.Mount{{Destination: "/mnt/proc", Type: "proc"}}, false},
		"mounted twice": {[]specs.Mount{tmpfs("/proc"), {Destination: "/proc", Type: "proc"}}, true},
	} {
		err := RequireProc(&specs.Spec{Mounts: c.mounts})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (!errdefs.IsInvalidArgument(err) || !strings.HasPrefix(err.Error(), "mounts: ")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is for other systems is left as it is.
func TestRewriteKeepsOtherSystems(t *testing.T) {
	t.Parallel()
	const raw = `{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"args":["/a.wasm"],"cwd":"/"},
"windows":{"layerFolders":["c:\\x"]},"solaris":{"milestone":"y"},"unknown":{"z":1}}`
	spec, err := parseSpec([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := &Config{Spec: spec, raw: []byte(raw)}
	data, err := c.Rewrite(&Plan{Kind: Wasm, Job: &job.Job{Args: []string{"/a.wasm"}}})
	if err != nil {
		t.Fatal(err)
	}
	var before, after map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal([]byte(raw), &before), json.Unmarshal(data, &after)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"windows", "solaris", "unknown"} {
		if !bytes.Equal(before[name], after[name]) {
			t.Errorf("%s is %s, was %s", name, after[name], before[name])
		}
	}
}

package direct

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// hook writes what it gets, in a directory that its environment names, and what
// it sees of the container.
const hook = `#!/bin/sh
state=$(cat)
pid=$(echo "$state" | sed 's/.*"pid":\([0-9]*\).*/\1/;t;s/.*/0/')
{
	echo "$state"
	echo "arguments: $0 $*"
	env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= | sort
	[ -e /proc/$pid/ns/net ] && [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ] && echo "the network is there"
	pwd -P
} >"$OUT/$1"
`

func hooked(t *testing.T, p *place, s *specs.Spec) {
	t.Helper()
	script := filepath.Join(p.dir, "hook")
	must(t, os.WriteFile(script, []byte(hook), 0o755))
	p.out = t.TempDir()
	timeout := 20
	one := func(name string) []specs.Hook {
		return []specs.Hook{{Path: script, Args: []string{"the-hook", name}, Env: []string{"OUT=" + p.out, "PATH=" + os.Getenv("PATH")}, Timeout: &timeout}}
	}
	s.Annotations = map[string]string{"a.note": "kept"}
	s.Hooks = &specs.Hooks{
		Prestart:      one("prestart"), //lint:ignore SA1019 deprecated, and still used
		CreateRuntime: one("createRuntime"), Poststart: one("poststart"), Poststop: one("poststop"),
	}
}

// askHooks reads what those hooks have written that have run.
func askHooks(t *testing.T, p *place, _ *testenv.Task, v view) {
	t.Helper()
	if _, err := os.Stat(p.out + "/poststop"); err == nil {
		t.Error("poststop has run")
	}
	v.hooks(t, p, "prestart", "createRuntime", "poststart")
}

func (v view) hooks(t *testing.T, p *place, names ...string) {
	t.Helper()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(p.out, name))
		must(t, err)
		first, rest, _ := strings.Cut(string(data), "\n")
		var state specs.State
		must(t, json.Unmarshal([]byte(first), &state))
		v["state for "+name] = fmt.Sprintf("%s %s %v %v", state.ID, state.Status, state.Pid != 0, state.Annotations)
		v["hook "+name] = rest
	}
}

func hooks() []comparison {
	var fields []string
	for _, kind := range []string{"prestart", "createRuntime", "poststart", "poststop"} {
		for _, field := range []string{"path", "args[]", "env[]", "timeout"} {
			fields = append(fields, "hooks."+kind+"[]."+field)
		}
	}
	return []comparison{
		{
			name:   "hooks",
			fields: append(fields, "annotations.*"),
			spec:   hooked,
			ask:    askHooks,
			after:  func(t *testing.T, p *place, v view) { v.hooks(t, p, "poststop") },
			// runc asks itself before the process has gone on.
			differ: map[string]string{"state for poststart": "with runc it is created, or running"},
			want: view{
				"state for prestart": "ID creating true map[a.note:kept]", "state for createRuntime": "ID creating true map[a.note:kept]",
				"state for poststart": "ID running true map[a.note:kept]", "state for poststop": "ID stopped false map[a.note:kept]",
			},
		},
	}
}

package direct

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

const noTTY = syscall.O_NOCTTY

// owner of a file.
func owner(info fs.FileInfo) string { return fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid) }

// askExec looks at an exec in the container, too.
func askExec(t *testing.T, p *place, k *testenv.Task, v view) {
	execIn(t, p, k, v, func(*specs.Process) {})
}

// execIn runs one with the container's configuration, changed; what is seen of it
// gets names with "exec".
func execIn(t *testing.T, p *place, k *testenv.Task, v view, change func(*specs.Process)) {
	t.Helper()
	ctx := k.Context()
	config, err := k.Container.Spec(ctx)
	must(t, err)
	process := *config.Process
	process.Args = []string{module, "environment", "terminal", "write", "/public/exec", "walk", "/work", "wait"}
	process.Terminal = false
	change(&process)
	var stdout, stderr testenv.Buffer
	e, err := k.Task.Exec(ctx, "exec", &process, cio.NewCreator(cio.WithStreams(nil, &stdout, &stderr)))
	must(t, err)
	defer func() {
		_, err := e.Delete(ctx, client.WithProcessKill)
		must(t, err)
	}()
	must(t, e.Start(ctx))
	stdout.WaitFor(t, "waiting")
	for key, value := range lookAt(t, int(e.Pid()), config.Linux.CgroupsPath) {
		if !strings.HasPrefix(key, "mount ") && !strings.HasPrefix(key, "tmpfs ") { // the room is joined by its root
			v["exec "+key] = value
		}
	}
	v["exec stdout"], v["exec stderr"] = stdout.String(), stderr.String()
	for _, kind := range kinds {
		v["exec shares "+kind] = fmt.Sprint(namespaceOf(t, int(e.Pid()), kind) == namespaceOf(t, int(k.Pid()), kind))
	}
	delete(v, "exec shares mnt") // the same
}

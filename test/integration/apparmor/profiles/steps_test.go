package profiles

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// load loads a profile with these rules until the test ends.
func load(t *testing.T, profile, rules string) {
	t.Helper()
	parse(t, "--replace", profile, rules)
	t.Cleanup(func() { unload(t, profile) })
}

// unload removes a profile, wherever it came from.
func unload(t *testing.T, profile string) {
	t.Helper()
	parse(t, "--remove", profile, "")
}

// parse has the parser do something about a profile, with the flags of containerd's:
// the namespaces of a container do not have the paths of all the files that it has open.
func parse(t *testing.T, what, profile, rules string) {
	t.Helper()
	source := fmt.Sprintf("profile %s flags=(attach_disconnected,mediate_deleted) { %s }", profile, rules)
	cmd := exec.Command("apparmor_parser", "--skip-cache", what)
	cmd.Stdin = strings.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", cmd, err, source, out)
	}
}

// requireLabel fails the test unless all threads of a process have that label.
func requireLabel(t *testing.T, pid uint32, want string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/attr/apparmor/current", pid))
	must(t, err)
	if len(files) < 2 {
		t.Errorf("process %d has the threads %q", pid, files)
	}
	for _, file := range files {
		label, err := os.ReadFile(file)
		must(t, err)
		if got := strings.TrimSpace(string(label)); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// requireDirect fails the test unless the shim has made a container itself.
func requireDirect(t *testing.T, c *testenv.Containerd, id string) {
	t.Helper()
	if l := c.LaunchedFor(t, id); l.Launcher != "direct" {
		t.Errorf("made by %+v", l)
	}
}

// execIn starts an exec with the container's configuration, changed, and looks at it
// while it runs.
func execIn(t *testing.T, k *testenv.Task, look func(pid uint32), change ...oci.SpecOpts) {
	t.Helper()
	ctx := k.Context()
	spec, err := k.Container.Spec(ctx)
	must(t, err)
	for _, o := range change {
		must(t, o(ctx, nil, &containers.Container{}, spec))
	}
	spec.Process.Args = []string{module, "wait"}
	var stdout, stderr testenv.Buffer
	e, err := k.Task.Exec(ctx, "exec", spec.Process, cio.NewCreator(cio.WithStreams(nil, &stdout, &stderr)))
	must(t, err)
	defer func() {
		if _, err := e.Delete(ctx, client.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	}()
	must(t, e.Start(ctx))
	stdout.WaitFor(t, "waiting")
	look(e.Pid())
}

// end kills the container and waits for it.
func end(t *testing.T, k *testenv.Task) {
	t.Helper()
	k.Signal(t, syscall.SIGKILL)
	if status := k.Finish(t); status != 137 {
		t.Errorf("exit status %d", status)
	}
}

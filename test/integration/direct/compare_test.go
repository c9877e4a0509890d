package direct

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// comparison is a container that is run by both launchers.
type comparison struct {
	name string
	// missing tells what the host does not have that is needed; empty for nothing.
	missing string
	// fields are rows of docs/oci-spec.md that it is about.
	fields []string
	// spec changes the configuration that containerd makes by default.
	spec func(*testing.T, *place, *specs.Spec)
	// does is what the guest does (see guests/witness) before it waits.
	does  []string
	stdin string
	tty   bool
	// ends tells that the container ends by itself, and is looked at then.
	ends bool
	// sysctls are files below /proc/sys to look at.
	sysctls []string
	// ask are more questions to a container.
	ask func(*testing.T, *place, *testenv.Task, view)
	// after asks when the container is deleted.
	after func(*testing.T, *place, view)
	// want is what both views have to have.
	want view
	// differ are names of what differs, and why.
	differ map[string]string
}

// place is what belongs to one of the two containers.
type place struct {
	c        *testenv.Containerd
	launcher string
	id       string
	dir      string // of the host, for volumes
	out      string // what hooks write
	holder   int    // a process whose namespaces it joins
}

// launchers of the shim, by the runtime option.
var launchers = []string{"runc", "direct"}

// withLauncher is for testenv.Spec.
func withLauncher(name string) any {
	return &runtimeoptions.Options{ConfigBody: []byte(fmt.Sprintf("launcher = %q\n", name))}
}

// edit changes a configuration.
func edit(change func(*specs.Spec)) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		change(s)
		return nil
	}
}

func (x comparison) run(t *testing.T, c *testenv.Containerd) {
	if x.missing != "" {
		t.Skip("the host has no " + x.missing)
	}
	views := map[string]view{}
	for _, launcher := range launchers {
		views[launcher] = x.look(t, &place{c: c, launcher: launcher, dir: t.TempDir(), id: identifier(t.Name()) + "-" + launcher})
	}
	if t.Failed() {
		return
	}
	all := maps.Clone(views["runc"])
	maps.Copy(all, views["direct"])
	for _, key := range slices.Sorted(maps.Keys(all)) {
		runc, direct := views["runc"].get(key), views["direct"].get(key)
		if _, ok := x.differ[key]; ok != (runc != direct) {
			t.Errorf("%s: with runc %q, direct %q (expected to differ: %v)", key, runc, direct, ok)
		}
	}
	for key, want := range x.want {
		for _, launcher := range launchers {
			if _, ok := x.differ[key]; ok && launcher == "runc" {
				continue
			}
			if got := views[launcher].get(key); got != want {
				t.Errorf("%s, %s: %q, want %q", launcher, key, got, want)
			}
		}
	}
}

// identifier makes the id of a container out of a test's name.
func identifier(name string) string {
	words := strings.FieldsFunc(name[strings.Index(name, "/")+1:], func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.Join(words, "-")
}

// look runs the container and looks at it.
func (x comparison) look(t *testing.T, p *place) view {
	t.Helper()
	must(t, os.Chmod(p.dir, 0o755))
	var cgroup string
	spec := testenv.Spec{
		ID: p.id, Args: append(append([]string{module}, x.does...), "wait"), TTY: x.tty, Image: witness(t), RuntimeOptions: withLauncher(p.launcher),
		Opts: []oci.SpecOpts{edit(func(s *specs.Spec) {
			if x.spec != nil {
				x.spec(t, p, s)
			}
			cgroup = s.Linux.CgroupsPath
		})},
	}
	if x.stdin != "" {
		spec.Stdin = strings.NewReader(x.stdin)
	}
	k := p.c.Run(t, spec)
	if x.stdin != "" {
		must(t, k.CloseIO(k.Context(), client.WithStdinCloser))
	}
	if x.ends {
		v := view{"exit status": fmt.Sprint(k.Finish(t)), "stdout": k.Stdout.String(), "stderr": k.Stderr.String()}
		v.volumes(t, p.dir)
		return v.normal(p)
	}
	k.Stdout.WaitFor(t, "waiting")
	v := lookAt(t, int(k.Pid()), cgroup)
	for _, name := range x.sysctls {
		v["sysctl "+name] = enter(t, int(k.Pid()), "cat /proc/sys/"+strings.ReplaceAll(name, ".", "/"))
	}
	if x.ask != nil {
		x.ask(t, p, k, v)
	}
	v["stdout"], v["stderr"] = strings.TrimSpace(k.Stdout.String()), k.Stderr.String()
	v.volumes(t, p.dir)
	if bounding := boundingSet(t, int(k.Pid())); p.launcher == "direct" && bounding != none {
		t.Errorf("the bounding set is %s", bounding)
	}
	k.Signal(t, syscall.SIGKILL)
	if status := k.Finish(t); status != 137 {
		t.Errorf("%s: exit status %d", p.launcher, status)
	}
	if x.after != nil {
		x.after(t, p, v)
	}
	return v.normal(p)
}

// volumes are the files of a container's own directory on the host.
func (v view) volumes(t *testing.T, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		must(t, err)
		if path != dir {
			v["host "+strings.TrimPrefix(path, dir)] = describe(t, path)
		}
		return nil
	}))
}

// normal is the view without what is particular to one container.
func (v view) normal(p *place) view {
	n := view{}
	words := []string{p.id, "ID", p.dir, "DIR"}
	if p.out != "" {
		words = append(words, p.out, "OUT")
	}
	r := strings.NewReplacer(words...)
	for key, value := range v {
		n[r.Replace(key)] = r.Replace(value)
	}
	return n
}

package escape

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// hopeless tells why not even root makes an attack without a container here: the
// kernel has nothing to attack.
func hopeless(name, details string) bool {
	if name == "write to the shim's binary" {
		return strings.Contains(details, unix.ETXTBSY.Error()) // of a program that runs
	}
	return strings.Contains(details, unix.ENOSYS.Error()) || strings.Contains(details, unix.EAFNOSUPPORT.Error())
}

// build makes the test build of the shim, and the attacks as a program.
func build(t *testing.T) (shimDir, program string) {
	t.Helper()
	shimDir = t.TempDir()
	program = filepath.Join(shimDir, "unconfined")
	for _, args := range [][]string{
		{"-tags", "escapedguest", "-o", shimDir + "/", "./cmd/containerd-shim-wazero-v1", "./cmd/containerd-wazero-cgi"},
		{"-o", program, "./pkg/runner/escaped/testdata/unconfined"},
	} {
		cmd := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags=-s -w"}, args...)...)
		cmd.Dir = testenv.Root()
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	return shimDir, program
}

// attacks lists the names of all, and of those that may end the process.
func attacks(t *testing.T, program string) (all, ends []string) {
	t.Helper()
	out, err := exec.Command(program).Output()
	must(t, err)
	for line := range strings.Lines(string(out)) {
		name, end := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "\t")
		if end {
			ends = append(ends, name)
		} else {
			all = append(all, name)
		}
	}
	return all, ends
}

// start starts a containerd whose shim is the test build with a launcher.
func start(t *testing.T, shimDir, launcher string, img testenv.Image) *testenv.Containerd {
	t.Helper()
	t.Setenv("WAZERO_SHIM_DIR", shimDir)
	t.Setenv("WAZERO_SHIM_LAUNCHER", launcher)
	c := testenv.StartContainerd(t, testenv.Newest)
	c.Import(t, img)
	return c
}

// surroundings are kinds of containers. Both are root's, with containerd's default
// capabilities and a volume.
var surroundings = map[string][]oci.SpecOpts{
	"alone": {seccomp.WithDefaultProfile()},
	// Only what is the runner's own is left between the guest and the host, as in a
	// pod with hostPID, hostNetwork and hostIPC.
	"in the host's namespaces": {
		oci.WithHostNamespace(specs.PIDNamespace), oci.WithHostNamespace(specs.NetworkNamespace),
		oci.WithHostNamespace(specs.IPCNamespace), oci.WithHostNamespace(specs.UTSNamespace),
	},
}

// volume is a directory of the host in the container.
func (x target) volume() oci.SpecOpts {
	return oci.WithMounts([]specs.Mount{{Type: "bind", Source: x.Volume, Destination: "/volume", Options: []string{"rbind", "rw"}}})
}

// inside is the target as a container sees it.
func (x target) inside(c *testenv.Containerd) target {
	x.Hidden = append(x.Hidden, c.Dir, c.CacheDir(), c.Address(), "/run/containerd", "/var/lib/containerd")
	sockets, _ := filepath.Glob("/run/containerd/s/*")
	x.Sockets = append(append(x.Sockets, c.Address()), sockets...)
	x.Image, x.Volume = "", "/volume"
	return x
}

// role is what a guest was before it escaped.
type role struct {
	module string
	// requests tells that it answers them by CGI: it escapes with the first one.
	requests bool
}

// roles of guests: one that uses no sockets, one that may, and one that shares its process
// with a server of ours.
var roles = map[string]role{
	"": {module: "/app.wasm"}, withSockets: {module: "/sockets.wasm"}, ", for requests": {module: "/app.wasm", requests: true},
}

const withSockets = ", with sockets"

// meant is what the process of a guest with sockets is allowed, and why it does no
// harm.
var meant = map[string]string{
	"listen at a port":           "as the guest itself",
	"connect to the host by TCP": "as the guest itself",
	"send a datagram":            "as the guest itself",
}

func TestNothingHelpsAnEscapedGuest(t *testing.T) {
	shimDir, program := build(t)
	x, img := newTarget(t), image(t)
	names, _ := attacks(t, program)
	columns := []string{"unconfined"}
	seen := map[string]map[string]verdict{"unconfined": unconfined(t, program, x)}
	for _, launcher := range []string{"runc", "direct"} {
		t.Run(launcher, func(t *testing.T) {
			c := start(t, shimDir, launcher, img)
			for _, kind := range sorted(surroundings) {
				for _, was := range sorted(roles) {
					id := fmt.Sprintf("%s%d", launcher, len(columns))
					column := launcher + ", " + kind + was
					columns = append(columns, column)
					seen[column] = verdicts(roles[was].escape(t, c, x, id, img, surroundings[kind]))
					if was == withSockets && seen[column]["listen at a port"].result != succeeded {
						t.Errorf("%s: there are no sockets: %s", column, seen[column]["listen at a port"].details)
					}
					if launcher == "direct" { // who is told to use runc does not log it
						if by := c.LaunchedFor(t, id).Launcher; by != launcher {
							t.Errorf("%s was made by %s", id, by)
						}
					}
				}
			}
		})
	}
	t.Logf("%d attacks:\n%s", len(names), table(names, columns, seen))
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			for _, column := range columns {
				v, ok := seen[column][name]
				switch {
				case !ok:
					t.Errorf("%s: not tried", column)
				case strings.HasSuffix(column, withSockets) && meant[name] != "":
					t.Logf("%s: %s: %s; meant: %s", column, v.result, v.details, meant[name])
				case strings.HasPrefix(column, "direct") && v.result != refused:
					t.Errorf("%s: %s", column, v.details)
				case column == "unconfined" && v.result != succeeded && !hopeless(name, v.details):
					t.Errorf("this is no attack: it fails unconfined, too: %s", v.details)
				default:
					t.Logf("%s: %s: %s", column, v.result, v.details)
				}
			}
		})
	}
}

// escape runs a guest that does, and returns what it says.
func (r role) escape(t *testing.T, c *testenv.Containerd, x target, id string, img testenv.Image, surroundings []oci.SpecOpts) string {
	t.Helper()
	opts := append([]oci.SpecOpts{x.volume()}, surroundings...)
	if r.requests {
		opts = append(opts, oci.WithAnnotations(map[string]string{
			"io.containerd.wazero.v1.cgi": "1", "io.containerd.wazero.v1.listen": "unix:///volume/" + id,
		}))
	}
	k := c.Run(t, testenv.Spec{ID: id, Image: img, Args: append([]string{r.module, argument}, x.inside(c).args(t)...), Opts: opts})
	if !r.requests {
		if status := k.Finish(t); status != 0 {
			t.Errorf("%s: status %d, %s", id, status, k.Stderr)
		}
		return k.Stdout.String()
	}
	answer, err := get(filepath.Join(x.Volume, id))
	if err != nil || !strings.Contains(answer, "502 Bad Gateway") { // it had no words for the client
		t.Errorf("%s: %q, %v, %s", id, answer, err, k.Stderr)
	}
	k.Signal(t, unix.SIGKILL)
	k.Finish(t)
	return k.Stdout.String()
}

// get asks a server at a unix socket.
func get(socket string) (string, error) {
	conn, err := net.DialTimeout("unix", socket, time.Minute)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: escape\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func sorted[T any](m map[string]T) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// table shows what became of the attacks, side by side.
func table(names, columns []string, seen map[string]map[string]verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-50s", "")
	for _, c := range columns {
		fmt.Fprintf(&b, "| %-46s", c)
	}
	b.WriteString("\n")
	for _, name := range names {
		fmt.Fprintf(&b, "%-50s", name)
		for _, c := range columns {
			fmt.Fprintf(&b, "| %-46s", seen[c][name].result)
		}
		b.WriteString("\n")
	}
	return b.String()
}

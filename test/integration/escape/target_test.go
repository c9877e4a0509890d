package escape

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// argument makes the runner of the test build escape.
const argument = "--escape"

// target is what there is to win, see escaped.Target.
type target struct {
	Secret, Token string
	Pid           int
	Hidden        []string
	Sockets       []string
	Abstract, TCP string
	Image, Volume string
}

// newTarget makes everything that an attack could be after. Image and Volume are
// where an unconfined attacker finds them.
func newTarget(t *testing.T) target {
	t.Helper()
	dir := t.TempDir()
	x := target{
		Secret: filepath.Join(dir, "secret"), Token: fmt.Sprintf("token-%d", os.Getpid()), Pid: os.Getpid(),
		Hidden: []string{dir}, Abstract: fmt.Sprintf("@escape-%d", os.Getpid()),
		Image: filepath.Join(dir, "image"), Volume: filepath.Join(dir, "volume"),
	}
	must(t, os.WriteFile(x.Secret, []byte(x.Token), 0o600))
	must(t, os.MkdirAll(filepath.Join(x.Image, "bin"), 0o755))
	must(t, os.Mkdir(x.Volume, 0o777))
	for name, file := range imageFiles(t) {
		x.unpack(t, filepath.Join(x.Image, name), file)
		if file.Device != nil {
			x.unpack(t, filepath.Join(x.Volume, name), file)
		}
	}
	for _, listener := range []string{x.Abstract, filepath.Join(dir, "socket"), filepath.Join(x.Volume, "socket")} {
		l, err := net.Listen("unix", listener)
		must(t, err)
		t.Cleanup(func() { l.Close() })
	}
	x.Sockets = []string{filepath.Join(dir, "socket")}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	x.TCP = l.Addr().String()
	return x
}

func (x *target) unpack(t *testing.T, path string, file testenv.File) {
	t.Helper()
	switch d := file.Device; {
	case file.Link != "":
		must(t, os.Symlink(file.Link, path))
	case d != nil && d.Char:
		must(t, unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(uint32(d.Major), uint32(d.Minor)))))
	case d != nil:
		must(t, unix.Mknod(path, unix.S_IFBLK|0o666, int(unix.Mkdev(uint32(d.Major), uint32(d.Minor)))))
	default:
		must(t, os.WriteFile(path, file.Data, 0o755))
	}
}

// imageFiles are what a hostile image brings along.
func imageFiles(t *testing.T) map[string]testenv.File {
	_, busybox := testenv.Busybox(t)
	major, minor := disk(t)
	return map[string]testenv.File{
		"/bin/busybox": {Data: busybox, Mode: 0o4755},
		"/to-root":     {Link: "/"},
		"/to-init":     {Link: "/proc/1/root"},
		"/to-parent":   {Link: strings.Repeat("../", 40)},
		"/disk":        {Device: &testenv.Device{Major: major, Minor: minor}, Mode: 0o666},
		"/kmsg":        {Device: &testenv.Device{Char: true, Major: 1, Minor: 11}, Mode: 0o666},
	}
}

// networker is a module that imports sock_open of WasmEdge's extension, does nothing,
// and so gets a process that may use sockets.
var networker = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x0b\x02\x60\x03\x7f\x7f\x7f\x01\x7f\x60\x00\x00" + // types
	"\x02\x24\x01\x16wasi_snapshot_preview1\x09sock_open\x00\x00" + // imports
	"\x03\x02\x01\x01" + // functions
	"\x05\x03\x01\x00\x01" + // memory
	"\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x01" + // exports
	"\x0a\x04\x01\x02\x00\x0b") // code

// image has them, and two modules.
func image(t *testing.T) testenv.Image {
	t.Helper()
	files := imageFiles(t)
	files["/app.wasm"] = testenv.File{Data: testenv.Example(t, "hello-wat")}
	files["/sockets.wasm"] = testenv.File{Data: networker}
	files["/tmp"] = testenv.File{Dir: true, Mode: 0o777}
	return testenv.Image{Name: "test.local/escape:1", Files: files, Config: v1.ImageConfig{Entrypoint: []string{"/app.wasm"}}}
}

// disk returns the numbers of a block device of this machine.
func disk(t *testing.T) (major, minor int64) {
	t.Helper()
	data, err := os.ReadFile("/proc/partitions")
	must(t, err)
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] != "major" {
			major, _ = strconv.ParseInt(f[0], 10, 64)
			minor, _ = strconv.ParseInt(f[1], 10, 64)
			return major, minor
		}
	}
	t.Skip("this machine has no disk that could be attacked")
	return 0, 0
}

// args are those of an escaping guest. Without names it tries everything that
// does not end it.
func (x target) args(t *testing.T, names ...string) []string {
	t.Helper()
	data, err := json.Marshal(x)
	must(t, err)
	return append([]string{string(data)}, names...)
}

// verdict is what became of an attack.
type verdict struct{ result, details string }

const (
	refused   = "refused"
	succeeded = "SUCCEEDED"
)

// verdicts reads what escaped.Main wrote.
func verdicts(out string) map[string]verdict {
	all := map[string]verdict{}
	for line := range strings.Lines(out) {
		if f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3); len(f) == 3 {
			all[f[0]] = verdict{f[1], f[2]}
		}
	}
	return all
}

// unconfined makes the attacks in a process of root that nothing holds. It
// inherits a socket, a directory and a file.
func unconfined(t *testing.T, program string, x target) map[string]verdict {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fds[1])
	socket := os.NewFile(uintptr(fds[0]), "socket")
	defer socket.Close()
	root, err := os.Open("/")
	must(t, err)
	defer root.Close()
	file, err := os.Open(x.Secret)
	must(t, err)
	defer file.Close()
	cmd := exec.Command(program, x.args(t)...)
	cmd.ExtraFiles = []*os.File{socket, root, file}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("unconfined: %v\n%s", err, out)
	}
	return verdicts(string(out))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

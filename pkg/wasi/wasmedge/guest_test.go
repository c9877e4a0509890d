package wasmedge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// build runs a compiler that writes to the file that it is told last.
func build(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command(args[0], append(args[1:], "-o", out)...)
	if args[0] == "go" {
		cmd = exec.Command("go", append([]string{"build", "-o", out}, args[1:]...)...)
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	}
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, text)
	}
	data, err := os.ReadFile(out)
	must(t, err)
	return data
}

// run runs a program with the host's root as its own, and returns what it writes.
func run(t *testing.T, module []byte, args ...string) (stdout string, status uint32) {
	t.Helper()
	var c preview1.Config
	c.Args = append([]string{"guest"}, args...)
	c.Env = []string{"PWD=/"}
	open := func(path string) int {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		must(t, err)
		return fd
	}
	out, errors_ := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "err")
	c.Stdio = [3]int{open(os.DevNull), open(out), open(errors_)}
	root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	c.Preopens = []preview1.Preopen{{FD: root, Name: "/", ReadOnly: true}}
	system, err := preview1.New(c)
	must(t, err)
	defer system.Close()
	ctx := preview1.WithSystem(context.Background(), system)
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	host(t, ctx, r, module)
	_, err = r.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig())
	var exit *sys.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		status = exit.ExitCode()
	}
	text, err := os.ReadFile(errors_)
	must(t, err)
	if text = bytes.TrimSpace(text); len(text) > 0 {
		t.Logf("stderr: %s", text)
	}
	text, err = os.ReadFile(out)
	must(t, err)
	return string(text), status
}

// TestGoModule runs a server and clients that use github.com/stealthrocket/net, the
// names of which are resolved by Go and by the host.
func TestGoModule(t *testing.T) {
	t.Parallel()
	for _, tags := range []string{"-tags=", "-tags=getaddrinfo"} {
		t.Run(tags, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			if out, status := run(t, build(t, "testdata/gonet", "go", tags, ".")); out != "done\n" || status != 0 {
				t.Errorf("%q, status %d", out, status)
			}
			t.Logf("after %v", time.Since(begin))
		})
	}
}

// TestProgramsInC run on the functions of one version each.
func TestProgramsInC(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version int) {
		module := build(t, "testdata", "clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-Wall", fmt.Sprintf("-DVERSION=%d", version), "guest.c")
		if out, status := run(t, module); out != "done\n" || status != 0 {
			t.Errorf("%q, status %d", out, status)
		}
	})
}

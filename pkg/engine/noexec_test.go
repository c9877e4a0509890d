package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// noexecEnv makes the test go on in a mount namespace of its own.
const noexecEnv = "ENGINE_TEST_NOEXEC"

// TestCodeOnANoexecMountIsCopied: /var is often mounted like this.
func TestCodeOnANoexecMountIsCopied(t *testing.T) {
	if os.Getenv(noexecEnv) == "" {
		if os.Geteuid() != 0 {
			t.Fatal("run this test as root")
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), noexecEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	dir := t.TempDir()
	must(t, unix.Mount("none", dir, "tmpfs", unix.MS_NOEXEC, ""))
	defer unix.Unmount(dir, unix.MNT_DETACH)
	module, code := small(t)
	path := filepath.Join(dir, "entry")
	must(t, os.WriteFile(path, code, 0o600))
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	e, err := OpenEntry(f, false)
	must(t, err)
	if e.Shared() {
		t.Error("it is mapped")
	}
	m, err := ReadModule(file(t, module), "/guest.wasm")
	must(t, err)
	r, err := NewLoader(t.Context())
	must(t, err)
	defer r.Close(t.Context())
	compiled, err := r.Load(t.Context(), m, e)
	must(t, err)
	if got := (&loaded{r, m, compiled}).run(t); got.result != 21 {
		t.Errorf("%+v", got)
	}
}

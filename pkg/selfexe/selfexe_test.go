package selfexe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Getenv("SELFEXE_CHILD") == "1" {
		fmt.Print("hello from the handle")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestHandlesCanBeExecutedButNotWritten(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func() (*os.File, error){
		"Open":          Open,
		"OpenBeside":    func() (*os.File, error) { return OpenBeside(filepath.Base(os.Args[0])) },
		"ReadOnlyMount": func() (*os.File, error) { return openReadOnlyMount(self) },
		"Copy":          func() (*os.File, error) { return openCopy(self) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := open()
			if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
				t.Fatalf("this test needs root and Linux 5.12: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			assertExecutable(t, f)
			assertUnwritable(t, f)
		})
	}
}

func assertExecutable(t *testing.T, f *os.File) {
	t.Helper()
	cmd := exec.Command("/proc/self/fd/3")
	cmd.Env = []string{"SELFEXE_CHILD=1"}
	cmd.ExtraFiles = []*os.File{f}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "hello from the handle" {
		t.Fatalf("execute the handle: %q, %v", out, err)
	}
}

func assertUnwritable(t *testing.T, f *os.File) {
	t.Helper()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("write through the handle succeeded")
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY, 0)
	if err == nil {
		defer again.Close()
		if _, err := again.WriteAt([]byte("x"), 0); err == nil {
			t.Error("the handle can be opened again for writing")
		}
	}
	if err := unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH,
		&unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err == nil {
		t.Error("the handle's mount can be made writable again")
	}
}

func TestProgramThatIsNotBesideUs(t *testing.T) {
	t.Parallel()
	f, err := OpenBeside("there-is-no-such-program")
	if f != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, %v", f, err)
	}
}

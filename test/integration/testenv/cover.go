package testenv

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// CoverDir mounts a tmpfs over a directory of the machine whose path daemons do
// not let choose, until the test ends. Where there is none it is made, and removed.
func CoverDir(t testing.TB, dir string) {
	t.Helper()
	err := os.Mkdir(dir, 0o755)
	if err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	made := err == nil
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatalf("mount a tmpfs on %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
		if made {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		}
	})
}

// CNIDir is where CNI's library keeps what it knows of networks, a constant there.
// Tests of pods with networks have to cover it.
const CNIDir = "/var/lib/cni"

// cniRecords lists what CNI keeps about pods: results of its plugins, and
// addresses in use.
func cniRecords() ([]string, error) {
	return entries("CNI's record", CNIDir, func(path string, d fs.DirEntry) bool {
		name := filepath.Base(path)
		return d.IsDir() || name == "lock" || strings.HasPrefix(name, "last_reserved_ip.")
	})
}

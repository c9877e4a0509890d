package testenv

import (
	"debug/elf"
	"os"
	"os/exec"
	"testing"
)

// Busybox is the machine's busybox, for images that have nothing else. Its path is
// there to be asked what it has.
func Busybox(t testing.TB) (path string, data []byte) {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("images need a static busybox (Debian: busybox-static), run make tools: %v", err)
	}
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if program.Section(".interp") != nil {
		t.Fatalf("%s needs libraries that images do not have: install busybox-static instead", path)
	}
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, data
}

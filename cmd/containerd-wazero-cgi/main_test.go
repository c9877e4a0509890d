package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhoeverRunsItIsToldWhatItIs(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "cgi")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var exit *exec.ExitError
	out, err := exec.Command(binary, "-v").CombinedOutput()
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "a part of containerd-shim-wazero-v1") {
		t.Errorf("%v, %q", err, out)
	}
}

package apparmor

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSecurityModulesAreThoseOfTheKernel compares with what securityfs says, where it is
// mounted.
func TestSecurityModulesAreThoseOfTheKernel(t *testing.T) {
	t.Parallel()
	got, err := securityModules()
	if errors.Is(err, unix.ENOSYS) {
		if !host().old {
			t.Error("the kernel is said to be new")
		}
		return
	}
	if err != nil || len(got) == 0 {
		t.Fatalf("%d, %v", got, err)
	}
	if data, err := os.ReadFile("/sys/kernel/security/lsm"); err == nil {
		if names := strings.Split(string(data), ","); len(names) != len(got) || slices.Contains(names, "apparmor") != slices.Contains(got, lsmID) {
			t.Errorf("%d for %q", got, names)
		}
	}
}

// TestChange: how the kernel wants it, from security/lsm_syscalls.c.
func TestChange(t *testing.T) {
	t.Parallel()
	b, err := change("docker-default")
	if err != nil {
		t.Fatal(err)
	}
	number := func(i int) int { return int(binary.NativeEndian.Uint64(b[8*i:])) }
	if text := string(b[header:]); text != "changeprofile docker-default" || number(0) != lsmID || number(1) != 0 || number(2) != len(b) || number(3) != len(text) {
		t.Errorf("%q", b)
	}
	for _, name := range []string{strings.Repeat("x", maxRequest), "a\x00b"} {
		if _, err := change(name); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%.5q: %v", name, err)
		}
	}
}

// TestConfineRefuses: nobody has loaded this profile, whatever the host is.
func TestConfineRefuses(t *testing.T) {
	t.Parallel()
	for _, f := range []func(string) error{Check, Confine} {
		if err := f("wazero-shim-test-is-not-there"); err == nil || !strings.Contains(err.Error(), `"wazero-shim-test-is-not-there"`) {
			t.Error(err)
		}
		if err := f(Unconfined); err != nil {
			t.Error(err)
		}
	}
}

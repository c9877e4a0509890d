package wasi

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// openFiles has a guest open files until it hears that it has all that its container
// may have: 65,536 if this machine allows as many.
func openFiles(t *testing.T, d *testenv.Docker) {
	var machine unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &machine); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []uint64{100, min(65536, machine.Max)} {
		r := d.Do(t, "", "run", "--rm", "--network=none", "--runtime", testenv.Runtime, "--memory=96m", fmt.Sprint("--ulimit=nofile=", limit), "hoarder")
		lines := strings.Split(r.Stdout, "\n")
		if r.Status != 0 || len(lines) != 5 || lines[1] != "0 bad" || lines[0] != lines[2] || lines[1] != lines[3] {
			t.Fatalf("of %d: %+v", limit, r)
		}
		found := regexp.MustCompile(`^(\d+) open: No file descriptors available$`).FindStringSubmatch(lines[0])
		if found == nil {
			t.Fatalf("of %d: %q", limit, lines[0])
		}
		// The process that runs the guest needs a few.
		if n, err := strconv.ParseUint(found[1], 10, 64); err != nil || n >= limit || n+32 < limit {
			t.Errorf("%d files of %d", n, limit)
		}
		t.Logf("of %d: %s", limit, lines[0])
	}
}

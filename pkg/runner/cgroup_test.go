package runner_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// touchBody grows by a mebibyte, writes to each page of it, and goes on until
// it is refused. Then it traps.
const touchBody = `(func (export "_start") (local $p i32) (local $end i32)
    (loop $grow
      (local.set $p (i32.mul (memory.size) (i32.const 65536)))
      (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (call $ready) unreachable))
      (local.set $end (i32.mul (memory.size) (i32.const 65536)))
      (loop $touch
        (i32.store (local.get $p) (i32.const 1))
        (local.set $p (i32.add (local.get $p) (i32.const 4096)))
        (br_if $touch (i32.lt_u (local.get $p) (local.get $end))))
      (br $grow)))`

// TestGuestIsRefusedMemoryBeforeTheKernelKills: the budget leaves enough for the
// process itself, and does not waste the limit.
func TestGuestIsRefusedMemoryBeforeTheKernelKills(t *testing.T) {
	needRoot(t)
	// The module's own maximum is above the limits here.
	module := wat(t, "guest", strings.Replace(strings.Replace(guestTemplate, "1 1000", "1 60000", 1), "BODY", touchBody, 1))
	for _, limit := range []int64{16 << 20, 32 << 20, 64 << 20, 256 << 20} {
		t.Run(fmt.Sprintf("%dMiB", limit>>20), func(t *testing.T) {
			p := startReady(t, module, limited(t, limit))
			p.letGo()
			report, err := p.control.ReadReport()
			if err != nil || report.Kind != job.OutOfMemory {
				t.Errorf("report %+v, %v", report, err)
			}
			p.expect(137, "ready\n")
			peak := p.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
			t.Logf("limit %d MiB, peak of the process %d MiB", limit>>20, peak>>20)
			if peak < limit*2/3 {
				t.Errorf("the guest got too little: the process had %d of %d bytes", peak, limit)
			}
		})
	}
}

// TestGoProgramCompilesInSmallContainer: 64 MiB is what people give to a small
// service.
func TestGoProgramCompilesInSmallContainer(t *testing.T) {
	needRoot(t)
	out := t.TempDir()
	if text, err := exec.Command(filepath.Join(examplesDir, "build.sh"), out, "hello-go").CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, text)
	}
	o := limited(t, 64<<20)
	o.code = cold
	p := run(t, filepath.Join(out, "hello-go", "hello.wasm"), o)
	p.expect(0, "Hello from Go, built for wasip1/wasm\n")
}

// limited are the options of a runner in a cgroup with a memory limit in bytes.
func limited(t *testing.T, limit int64) options {
	t.Helper()
	return options{
		job:     job.Job{MemoryLimit: limit},
		wrapper: []string{"/bin/sh", "-c", `echo $$ > ` + memoryCgroup(t, limit) + ` && exec "$@"`, "sh"},
	}
}

// memoryCgroup makes a cgroup and returns the file that takes its processes.
func memoryCgroup(t *testing.T, limit int64) string {
	t.Helper()
	root, file := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat(root); err != nil {
		root, file = "/sys/fs/cgroup", "memory.max"
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			t.Skipf("this machine's cgroups cannot limit memory here: %v", err)
		}
	}
	dir, err := os.MkdirTemp(root, "runner-test-")
	must(t, err)
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	must(t, os.WriteFile(filepath.Join(dir, file), fmt.Append(nil, limit), 0))
	return filepath.Join(dir, "cgroup.procs")
}

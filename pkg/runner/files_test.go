package runner_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// A guest that opens whatever it can gets an error when it has 65,536 files, or as many
// as this machine allows, and all of them work. The memory of the process is bounded.
func TestGuestOpensAsManyFilesAsItMay(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const hoarder = "../../test/integration/guests/hoarder/hoarder.c"
	dir := t.TempDir()
	module := filepath.Join(dir, "hoarder.wasm")
	if text, err := exec.Command("clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-o", module, hoarder).CombinedOutput(); err != nil {
		t.Fatalf("clang-14 with wasi-libc: %v\n%s", err, text)
	}
	limit := uint64(1 << 16)
	if err := exec.Command("prlimit", nofile(limit), "true").Run(); err != nil {
		var ours unix.Rlimit
		must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &ours))
		limit = ours.Max
	}
	prlimit, err := exec.LookPath("prlimit")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	p := startReady(t, module, options{
		wrapper: []string{prlimit, nofile(limit)},
		job:     job.Job{Preopens: []job.Preopen{{Guest: "/", Host: dir}}},
	})
	ended := make(chan struct{})
	peaks := make(chan int64)
	go func() { peaks <- peakMemory(p.cmd.Process.Pid, ended) }()
	p.letGo()
	p.wait()
	close(ended)
	peak := <-peaks
	var first, second uint64
	lines := strings.ReplaceAll(p.stdout.String(), "\n", ";")
	const form = "%d open: No file descriptors available;0 bad;%d open: No file descriptors available;0 bad;"
	if n, err := fmt.Sscanf(lines, form, &first, &second); n != 2 || err != nil || p.status != 0 {
		t.Fatalf("status %d, %q, %q, %v", p.status, p.stdout.String(), p.stderr.String(), err)
	}
	t.Logf("%d files of %d, with %d bytes of memory at most", first, limit, peak)
	// The runner has a few itself.
	if first != second || first >= limit || first+32 < limit {
		t.Errorf("%d and %d files of %d", first, second, limit)
	}
	// It is 12 MB with 20,000.
	if peak < 1<<20 || peak > 40<<20 {
		t.Errorf("the process had %d bytes", peak)
	}
}

// peakMemory is the most that a process had until it ended, in bytes. What wait4(2) tells
// has that of its parent in it, whose memory it shares before exec.
func peakMemory(pid int, ended <-chan struct{}) (peak int64) {
	for {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rest, _ := strings.Cut(string(status), "\nVmHWM:")
		var kilobytes int64
		if _, err := fmt.Sscan(rest, &kilobytes); err == nil {
			peak = max(peak, kilobytes<<10)
		}
		select {
		case <-ended:
			return peak
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func nofile(limit uint64) string { return fmt.Sprintf("--nofile=%d:%d", limit, limit) }

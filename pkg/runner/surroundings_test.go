package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

func TestGuestSeesRealSurroundings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := options{stdin: "from stdin\n", job: job.Job{
		Args:     []string{"/app.wasm", "", "a b"},
		Env:      []string{"A=1", "EMPTY=", "WITH=equals=sign"},
		Preopens: []job.Preopen{{Guest: "/dir", Host: dir}},
	}}
	module := cGuest(t, "surroundings")
	p := run(t, module, o)
	if p.status != 0 {
		t.Fatalf("status %d, stderr %s", p.status, p.stderr.String())
	}
	out := p.stdout.String()
	want := "arg /app.wasm\narg \narg a b\nenv A=1\nenv EMPTY=\nenv WITH=equals=sign\n"
	if !strings.HasPrefix(out, want) || !strings.HasSuffix(out, "\nfrom stdin\n") {
		t.Errorf("output:\n%s", out)
	}
	if slept := number(t, out, "slept %d"); slept < 50e6 || slept > 5e9 {
		t.Errorf("a sleep of 50 ms took %d ns of the guest's clock", slept)
	}
	if now := time.Unix(0, number(t, out, "now %d")); time.Since(now).Abs() > time.Minute {
		t.Errorf("the guest's time is %v", now)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "newdir")))
	again := run(t, module, o).stdout.String()
	if number(t, out, "random %x") == number(t, again, "random %x") {
		t.Error("two guests have the same random numbers")
	}
}

func TestGuestCreatesWithTheModesOfNativePrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := run(t, cGuest(t, "surroundings"), options{job: job.Job{Preopens: []job.Preopen{{Guest: "/dir", Host: dir}}}})
	if p.status != 0 {
		t.Fatalf("status %d, stderr %s", p.status, p.stderr.String())
	}
	native := filepath.Join(dir, "native")
	must(t, os.WriteFile(native, nil, 0o666))
	if got, want := mode(t, filepath.Join(dir, "new")), mode(t, native); got != want {
		t.Errorf("file has the mode %v, a native program's %v", got, want)
	}
	if got, want := mode(t, filepath.Join(dir, "newdir")).Perm(), os.FileMode(0o755); mode(t, native).Perm() == 0o644 && got != want {
		t.Errorf("directory has the mode %v", got)
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Mode()
}

// number finds the line of the format, which has one verb.
func number(t *testing.T, text, format string) (n int64) {
	t.Helper()
	for line := range strings.Lines(text) {
		var u uint64
		if _, err := fmt.Sscanf(strings.TrimSpace(line), format, &u); err == nil {
			return int64(u)
		}
	}
	t.Fatalf("no line %q in:\n%s", format, text)
	return 0
}

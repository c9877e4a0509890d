package containerd

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/image"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestFigures measures what users feel: the time from ctr run to the first
// output, and the memory of a container that does nothing. `make figures` prints
// it. As a test it asserts only what is far off on any machine.
func TestFigures(t *testing.T) {
	var guests testenv.Guests
	c := testenv.StartContainerd(t, testenv.Newest)
	built := t.TempDir()
	build := exec.Command(filepath.Join(testenv.Root(), "examples", "build.sh"), built, "hello-c", "hello-go")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the examples: %v\n%s", err, out)
	}
	native := guests.Multi(t, testenv.Native)
	native.Config.Entrypoint = []string{"/multi", "echo", "hello"}
	subjects := []struct {
		what, runtime string
		img           testenv.Image
	}{
		{"C example, Wasm", testenv.Runtime, example(t, built, "hello-c")},
		{"Go example, Wasm", testenv.Runtime, example(t, built, "hello-go")},
		{"native hello, our shim", testenv.Runtime, native},
		{"native hello, runc's shim", testenv.RuncRuntime, native},
	}
	for _, s := range subjects {
		c.Import(t, s.img)
		var times []time.Duration
		for i := range 11 {
			times = append(times, firstOutput(t, c, s.runtime, s.img.Name, fmt.Sprintf("f%d", i)))
		}
		slices.Sort(times)
		t.Logf("%-26s ctr run to first output: median %4d ms, fastest %4d ms",
			s.what, times[len(times)/2].Milliseconds(), times[0].Milliseconds())
		if fastest := times[0]; fastest > 10*time.Second {
			t.Errorf("%s takes %s to its first output", s.what, fastest)
		}
	}

	img := guests.Multi(t, testenv.Wasm)
	c.Import(t, img)
	k := c.Run(t, testenv.Spec{ID: "idle", Image: img, Args: []string{multi, "sleep"}})
	k.Stdout.WaitFor(t, "sleeping")
	time.Sleep(time.Second) // what starting took is given back
	runner := fmt.Sprint(k.Pid())
	shim := parent(t, runner)
	t.Logf("idle: resident memory of the shim %s, of the runner %s", memory(t, shim), memory(t, runner))
}

func example(t *testing.T, built, name string) testenv.Image {
	t.Helper()
	img, err := image.FromDockerfile("test.local/"+name+":1", filepath.Join(built, name))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// firstOutput runs a container and returns the time until its first line.
func firstOutput(t *testing.T, c *testenv.Containerd, runtime, img, id string) time.Duration {
	t.Helper()
	cmd := c.Command("run", "--rm", "--runtime", runtime, img, id)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, readErr := bufio.NewReader(stdout).ReadString('\n')
	took := time.Since(begin)
	if err := cmd.Wait(); err != nil || readErr != nil {
		t.Fatalf("ctr run: %v, %v\n%s", err, readErr, stderr.Bytes())
	}
	return took
}

func parent(t *testing.T, pid string) string { return status(t, pid, "PPid:") }
func memory(t *testing.T, pid string) string { return status(t, pid, "VmRSS:") }

// status returns a field of /proc/<pid>/status.
func status(t *testing.T, pid, field string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, field); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no %s in the status of process %s", field, pid)
	return ""
}

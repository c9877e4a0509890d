package compiled

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/api/types/runtimeoptions/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestContainersShareMachineCode compares the memory of ten idle containers with
// and without sharing.
func TestContainersShareMachineCode(t *testing.T) {
	const many = 10
	var guests testenv.Guests
	for name, tc := range map[string]struct {
		img  testenv.Image
		args []string
		most float64 // of the memory without sharing
	}{
		"CPython": {module("python", cpython(t)), []string{"/python.wasm", "-c", "import sys; print('sleeping', flush=True); sys.stdin.read()"}, 1. / 2},
		"Go":      {module("idle", guests.Build(t, "idle", testenv.Wasm)), []string{"/idle.wasm"}, 2. / 3},
	} {
		t.Run(name, func(t *testing.T) {
			c := testenv.StartContainerd(t, testenv.Newest)
			c.Import(t, tc.img)
			shared := idle(t, c, "s", many, testenv.Spec{Image: tc.img, Args: tc.args})
			private := idle(t, c, "p", many, testenv.Spec{
				Image: tc.img, Args: tc.args,
				RuntimeOptions: &runtimeoptions.Options{ConfigBody: []byte("private_code = true\n")},
			})
			t.Logf("PSS of %d runners: %.1f MiB shared, %.1f MiB private, ratio %.2f",
				many, float64(shared)/1024, float64(private)/1024, float64(shared)/float64(private))
			if float64(shared) > tc.most*float64(private) {
				t.Errorf("sharing saves too little: %d of %d KiB", shared, private)
			}
		})
	}
}

// idle starts containers, returns the sum of their runners' PSS in KiB, and ends
// them.
func idle(t *testing.T, c *testenv.Containerd, prefix string, many int, spec testenv.Spec) (sum int) {
	t.Helper()
	tasks := make([]*testenv.Task, many)
	var wg sync.WaitGroup
	for i := range tasks {
		if i == 1 {
			wg.Wait() // the first one compiles
		}
		wg.Go(func() {
			s := spec
			s.ID = fmt.Sprint(prefix, i)
			in, _ := io.Pipe() // input that never comes, and never ends
			s.Stdin = in
			k, err := c.Create(t, s)
			if err != nil {
				t.Errorf("create %s: %v", s.ID, err)
				return
			}
			if err := k.Start(k.Context()); err != nil {
				t.Errorf("start %s: %v", s.ID, err)
				return
			}
			k.Stdout.WaitFor(t, "sleeping")
			tasks[i] = k
		})
	}
	wg.Wait()
	time.Sleep(time.Second) // what starting took is given back
	for _, k := range tasks {
		if k == nil {
			t.FailNow()
		}
		sum += pss(t, k.Pid())
	}
	for _, k := range tasks {
		k.Signal(t, 9)
		k.Finish(t)
	}
	return sum
}

func pss(t *testing.T, pid uint32) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "Pss: %d", &kib); n == 1 {
			return kib
		}
	}
	t.Fatalf("no Pss in smaps_rollup of %d", pid)
	return 0
}

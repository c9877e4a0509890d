package title

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestAllThreadsGetTheName, those without work included.
func TestAllThreadsGetTheName(t *testing.T) {
	ready, end := make(chan bool), make(chan bool)
	defer close(end)
	for range 3 {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready <- true
			<-end
		}()
		<-ready
	}
	before, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/app/server.wasm": "server.wasm", "/app/a-very-long-name.wasm": "a-very-long-nam", strings.TrimSpace(string(before)): strings.TrimSpace(string(before))} {
		if err := SetName(path); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob("/proc/self/task/*/comm")
		if err != nil || len(files) < 4 {
			t.Fatalf("%d threads, %v", len(files), err)
		}
		for _, file := range files {
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want+"\n" {
				t.Errorf("%s is %q, want %q", file, got, want)
			}
		}
	}
}

package runner_test

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// BenchmarkHello measures a cold runner from fork to its end: exec, privileges,
// compiling, running.
func BenchmarkHello(b *testing.B) {
	out := b.TempDir()
	names := []string{"hello-wat", "hello-c", "hello-go"}
	if text, err := exec.Command(filepath.Join(examplesDir, "build.sh"), append([]string{out}, names...)...).CombinedOutput(); err != nil {
		b.Fatalf("build the examples: %v\n%s", err, text)
	}
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			var peak int64
			for range b.N {
				p := run(b, filepath.Join(out, name, "hello.wasm"), options{code: cold})
				if p.status != 0 {
					b.Fatalf("status %d: %s", p.status, p.stderr.String())
				}
				peak = p.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
			}
			b.ReportMetric(float64(peak)/1024, "MiB-peak")
		})
	}
}

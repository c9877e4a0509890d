// Command startup measures a runner alone: how long it takes from its exec to its
// end, with code from the cache and without, and how much memory idle guests
// share.
//
//	go run ./bench/startup [-n 20] [-warm] [-runner BINARY] [-only NAME]
//
// It builds its guests with the tools of the examples (go, clang-14) and takes
// CPython from test/tools. Run it as root on a quiet machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner"
)

func main() {
	if os.Args[0] == job.ExecPath && os.Getenv(job.RoleEnv) == job.RoleRunner {
		os.Exit(runner.Main())
	}
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "startup:", err)
		os.Exit(1)
	}
}

func measure() error {
	n := flag.Int("n", 20, "`runs` of which the median is shown")
	slow := flag.Int("slow", 5, "`runs` of what takes seconds: cold, and the interpreter")
	guests := flag.Int("guests", 10, "idle `guests` at once; 0 for none")
	warm := flag.Bool("warm", false, "leave out what takes seconds")
	binary := flag.String("runner", "", "shim `binary` whose runner to measure; empty for this program's own")
	only := flag.String("only", "", "`name` of the only guest to measure: C, Go or CPython")
	flag.Parse()
	if *binary == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		*binary = self
	}
	dir, err := os.MkdirTemp("", "startup-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all, err := build(context.Background(), dir, *only)
	if err != nil {
		return err
	}
	if err := likeAContainer(); err != nil {
		return err
	}
	b := bench{binary: *binary, runs: *n, slow: *slow, guests: *guests, modes: []mode{shared, private, cold, interpreted}}
	if *warm {
		b.modes = b.modes[:2]
	}
	return b.run(all)
}

type bench struct {
	binary             string
	runs, slow, guests int
	modes              []mode
}

func (b bench) run(all []guest) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	defer w.Flush()
	fmt.Fprintf(w, "median of %d, %d where it takes seconds; ms\t", b.runs, b.slow)
	for _, m := range b.modes {
		fmt.Fprintf(w, "%s\t", m)
	}
	fmt.Fprintln(w)
	for _, g := range all {
		fmt.Fprintf(w, "%s, %.1f MB\t", g.name, float64(g.size)/1e6)
		for _, m := range b.modes {
			f, err := b.time(g, m)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", g.name, m, err)
			}
			fmt.Fprintf(w, "%s\t", f)
		}
		fmt.Fprintln(w)
		w.Flush()
	}
	if b.guests == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nPSS of %d idle guests; MiB\tshared\tprivate\tratio\t\n", b.guests)
	for _, g := range all {
		withSharing, err := b.memory(g, shared)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		without, err := b.memory(g, private)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.2f\t\n", g.name, withSharing, without, withSharing/without)
	}
	return nil
}

// absolute makes paths independent of the directory in which tools run.
func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

// Stdlib runs Go's own tests of its standard library as guests:
//
//	stdlib EXEC SHIM [PACKAGE...]
//
// EXEC is the program of that name. Every test has to pass, at the second attempt at the
// latest: some have limits for what takes longer on a busy machine. Those that skip
// themselves are listed with their reasons: nothing is left out here, and GOWASIRUNTIME
// is not set, so that they skip what they would with lib/wasm/go_wasip1_wasm_exec of
// Go's distribution and its default runtime, wasmtime.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// packages are those that a host's functions matter to, and some more that use
// memory and CPU in other ways.
var packages = []string{
	"net/http", "compress/gzip", "math/big", // these take longest
	"os", "io/fs", "path/filepath", "net", "time", "bufio", "io", "encoding/json", "archive/tar", "archive/zip", "crypto/sha256",
}

// incapable are parts of reasons to skip a test that blame the host for something
// which this one can do.
var incapable = []string{"symlinks unsupported", "hardlinks", "cannot make symlinks", "cannot make hard links"}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: stdlib EXEC SHIM [PACKAGE...]")
		os.Exit(2)
	}
	if len(os.Args) > 3 {
		packages = os.Args[3:]
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(execute, shim string) error {
	var first results
	err := first.test(execute, shim, packages...)
	first.report()
	if err != nil || len(first.failed) == 0 {
		return err
	}
	fmt.Println("Those that failed run again:")
	var left []string
	for _, args := range first.again() {
		fmt.Println("go test", strings.Join(args, " "))
		var second results
		if err := second.test(execute, shim, args...); err != nil {
			return err
		}
		if second.passed+len(second.skipped)+len(second.failed) == 0 {
			return fmt.Errorf("nothing of %q ran", args)
		}
		left = append(left, second.failed...)
	}
	if len(left) > 0 {
		return fmt.Errorf("failed twice: %s", strings.Join(left, ", "))
	}
	return nil
}

// test runs go test with these arguments. The error is not that tests have failed.
func (r *results) test(execute, shim string, args ...string) error {
	cmd := exec.Command("go", append([]string{"test", "-short", "-json", "-exec", execute + " " + shim}, args...)...)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWASIRUNTIME=", "GOFLAGS=")
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = r.read(stdout)
	// Its status tells of failures, which are known by now.
	if wait := cmd.Wait(); err == nil && len(r.failed) == 0 {
		err = wait
	}
	return err
}

// event is a line of go test -json, see go doc test2json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// results are what became of all tests.
type results struct {
	passed  int
	failed  []string
	skipped map[string][]string // by reason
	// failures are, by package, the tests that have failed; nil for all of them.
	failures map[string][]string
}

// again are arguments of go test to repeat what has failed: packages, or tests of one.
func (r *results) again() (all [][]string) {
	for _, p := range slices.Sorted(maps.Keys(r.failures)) {
		args := []string{p}
		if tests := r.failures[p]; tests != nil {
			args = []string{"-run", "^(" + strings.Join(tests, "|") + ")$", p}
		}
		all = append(all, args)
	}
	return all
}

// fail remembers what to repeat for a test, or a package, that has failed.
func (r *results) fail(e event, said string) {
	tests, known := r.failures[e.Package]
	name, _, _ := strings.Cut(e.Test, "/") // a test is repeated with all of its own
	switch {
	case e.Test != "" && !slices.Contains(tests, name):
		r.failures[e.Package] = append(tests, name)
	case e.Test == "" && (!known || !strings.Contains("\n"+said, "\nFAIL\n")):
		// It did not come to its end: tests that would have run later are not known.
		r.failures[e.Package] = nil
	}
}

func (r *results) read(from io.Reader) error {
	r.skipped, r.failures = make(map[string][]string), make(map[string][]string)
	output := make(map[string]*strings.Builder) // of tests that run
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("go test printed %q: %w", lines.Text(), err)
		}
		name := e.Package + " " + e.Test
		said := output[name]
		if said == nil {
			said = new(strings.Builder)
			output[name] = said
		}
		switch e.Action {
		case "output":
			said.WriteString(e.Output)
		case "pass", "fail", "skip":
			r.end(e, name, said.String())
			delete(output, name)
		}
	}
	return lines.Err()
}

func (r *results) end(e event, name, said string) {
	reason := reasonIn(said)
	if e.Action == "skip" && slices.ContainsFunc(incapable, func(s string) bool { return strings.Contains(reason, s) }) {
		e.Action = "fail"
	}
	switch {
	case e.Action == "fail":
		r.failed = append(r.failed, name)
		r.fail(e, said)
		fmt.Printf("FAIL %s\n%s", name, said)
	case e.Test == "":
		fmt.Printf("%-4s %s %.1fs\n", map[string]string{"pass": "ok"}[e.Action], e.Package, e.Elapsed)
	case e.Action == "skip":
		r.skipped[reason] = append(r.skipped[reason], name)
	default:
		r.passed++
	}
}

// reasonIn is what a test that skipped itself has said, without the place.
func reasonIn(said string) string {
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		if _, reason, ok := strings.Cut(line, ".go:"); ok {
			if _, reason, ok = strings.Cut(reason, ": "); ok {
				return reason
			}
		}
	}
	return "no reason given"
}

// report lists who skipped.
func (r *results) report() {
	reasons, total := make([]string, 0, len(r.skipped)), 0
	for reason, names := range r.skipped {
		reasons = append(reasons, reason)
		total += len(names)
	}
	slices.SortFunc(reasons, func(a, b string) int {
		return cmp.Or(len(r.skipped[b])-len(r.skipped[a]), strings.Compare(a, b))
	})
	fmt.Printf("%d tests passed, %d failed, %d skipped themselves:\n", r.passed, len(r.failed), total)
	for _, reason := range reasons {
		names := r.skipped[reason]
		slices.Sort(names)
		const most = 3
		shown := strings.Join(names[:min(most, len(names))], ", ")
		if len(names) > most {
			shown += ", …"
		}
		fmt.Printf("%4d  %s (%s)\n", len(names), reason, shown)
	}
}

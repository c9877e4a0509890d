// Package critest runs the conformance suite for container runtimes of
// Kubernetes (sigs.k8s.io/cri-tools) on handlers with our shim and on runc, and
// compares the two.
package critest

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// ownIPC is set in the environment of a process that is in an IPC namespace of
// its own.
const ownIPC = "CRITEST_OWN_IPC"

// TestMain also makes an IPC namespace: critest leaves shared memory behind.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(ownIPC) == "" {
		fmt.Fprintln(os.Stderr, inOwnIPC())
		os.Exit(1)
	}
	os.Exit(testenv.Main(m))
}

// inOwnIPC becomes this program in an IPC namespace of its own. It returns only
// with an error.
func inOwnIPC() error {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"unshare", "--ipc", exe}, os.Args[1:]...)
	return syscall.Exec(unshare, args, append(os.Environ(), ownIPC+"=1"))
}

// Flags to look at a part: which tests, and on what handlers beside runc.
var (
	focus    = flag.String("focus", "", "run only the tests of critest that match this regular expression")
	handlers = flag.String("handlers", "wazero,wazero-sandboxed", "handlers to compare with runc")
)

// skip are the tests that a machine without a network cannot do: those of the
// image service pull from registries, and no runtime handler has a part in them.
const skip = `Image Manager`

// result is what became of one test.
type result struct {
	state   string // "passed", "failed", "skipped", …
	message string // of a failure, or why it was skipped
}

// TestConformance: our handlers fail nowhere where runc does not.
func TestConformance(t *testing.T) {
	node := startNode(t)
	runc := run(t, node, "runc")
	for handler := range strings.SplitSeq(*handlers, ",") {
		ours := run(t, node, handler)
		t.Logf("%s: %s\nrunc: %s\n%s", handler, count(ours), count(runc), table(runc, ours))
		for name, theirs := range runc {
			if r := ours[name]; r.state != theirs.state && r.state != "passed" && (theirs.state == "passed" || r.state != "skipped") {
				t.Errorf("%s: %q with the handler %s, %q with runc: %s", name, r.state, handler, theirs.state, r.message)
			}
		}
	}
}

// run runs critest and returns what became of each test.
func run(t *testing.T, node *testenv.Containerd, handler string) map[string]result {
	t.Helper()
	program := filepath.Join(testenv.Tool(t, "cri-tools", "1.34.0"), "critest")
	report := filepath.Join(t.TempDir(), handler+".json")
	args := []string{
		"-config=/dev/null", "-runtime-endpoint=unix://" + node.Address(), "-runtime-handler=" + handler,
		"-ginkgo.seed=1", "-ginkgo.no-color", "-ginkgo.skip=" + skip, "-ginkgo.json-report=" + report, "-ginkgo.timeout=20m",
	}
	if *focus != "" {
		args = append(args, "-ginkgo.focus="+*focus)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "TMPDIR="+cmd.Dir)
	out, runErr := cmd.CombinedOutput() // fails when a test does
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("critest made no report: %v\n%s", runErr, out)
	}
	results, err := parse(data)
	must(t, err)
	if len(results) == 0 {
		t.Fatalf("critest ran nothing: %v\n%s", runErr, out)
	}
	return results
}

// parse reads Ginkgo's report.
func parse(data []byte) (map[string]result, error) {
	var suites []struct {
		SpecReports []struct {
			ContainerHierarchyTexts    []string
			LeafNodeType, LeafNodeText string
			State                      string
			Failure                    struct{ Message string }
		}
	}
	if err := json.Unmarshal(data, &suites); err != nil {
		return nil, fmt.Errorf("read critest's report: %w", err)
	}
	results := map[string]result{}
	for _, suite := range suites {
		for _, s := range suite.SpecReports {
			// Skipped without a message are those that were not selected.
			if s.LeafNodeType == "It" && (s.State != "skipped" || s.Failure.Message != "") {
				name := strings.Join(append(s.ContainerHierarchyTexts, s.LeafNodeText), " ")
				results[strings.TrimPrefix(name, "[k8s.io] ")] = result{s.State, s.Failure.Message}
			}
		}
	}
	return results, nil
}

// count is "95 passed, 2 skipped".
func count(results map[string]result) string {
	n := map[string]int{}
	for _, r := range results {
		n[r.state]++
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%d %s", n[state], state))
	}
	return strings.Join(parts, ", ")
}

// table lists every test with its state under runc and with our handler, and why
// it did not pass.
func table(runc, ours map[string]result) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		fmt.Fprintf(&b, "%-8s %-8s %s\n", runc[name].state, ours[name].state, name)
		if runc[name].message != "" {
			fmt.Fprintf(&b, "%17s runc: %.200s\n", "", oneLine(runc[name].message))
		}
		if ours[name].message != "" {
			fmt.Fprintf(&b, "%17s ours: %.200s\n", "", oneLine(ours[name].message))
		}
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

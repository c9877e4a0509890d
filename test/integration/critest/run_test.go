package critest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// parts is in how many processes each handler's tests run at once. Most of their
// time passes in waiting: critest looks every four seconds whether a container runs.
const parts = 3

// alone are tests that meet themselves when they run for another handler at the
// same time: they use certain ports of the node, or pull and remove certain images.
var alone = regexp.MustCompile(`^Image Manager |port mapping with host port|portforward`)

// result is what became of one test.
type result struct {
	state   string // "passed", "failed", "skipped", …
	message string // of a failure, or why it was skipped
}

// list has all tests of critest; "skipped" are its benchmarks.
func list(t *testing.T) map[string]result {
	t.Helper()
	tests, err := critest(t, "-ginkgo.dry-run")
	must(t, err)
	return tests
}

// failed says whether a test was run and neither passed nor skipped itself.
func (r result) failed() bool { return r.state != "" && r.state != "passed" && r.state != "skipped" }

// runAll runs tests for all handlers and returns what became of them, by handler
// and name. Those that have failed run once more when nothing else does: they have
// limits of their own for what a busy machine may take long for.
func runAll(t *testing.T, node *testenv.Containerd, handlers, tests []string) map[string]map[string]result {
	t.Helper()
	var lonely []string
	var rest [parts][]string
	for i, name := range tests {
		if alone.MatchString(name) {
			lonely = append(lonely, name)
		} else {
			rest[i%parts] = append(rest[i%parts], name)
		}
	}
	var mu sync.Mutex
	all := map[string]map[string]result{}
	run := func(handler string, tests []string) {
		if len(tests) == 0 {
			return
		}
		results, err := critest(t, append(exactly(tests),
			"-runtime-endpoint=unix://"+node.Address(), "-runtime-handler="+handler, "-ginkgo.seed=1", "-ginkgo.timeout=20m")...)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("handler %s: %v", handler, err)
		}
		for _, name := range tests {
			r := results[name]
			if r.state == "" || r.state == "skipped" && r.message == "" { // skipped by a test has a reason
				t.Errorf("handler %s: %s was not run", handler, name)
			}
			if all[handler] == nil {
				all[handler] = map[string]result{}
			}
			all[handler][name] = r
		}
	}
	var wg sync.WaitGroup
	for _, handler := range handlers {
		for _, part := range rest {
			wg.Go(func() { run(handler, part) })
		}
	}
	for _, handler := range handlers {
		run(handler, lonely)
	}
	wg.Wait()
	for _, handler := range handlers {
		var again []string
		for _, name := range tests {
			if r := all[handler][name]; r.failed() {
				t.Logf("handler %s: %s has %s and runs again, alone: %s", handler, name, r.state, r.message)
				again = append(again, name)
			}
		}
		run(handler, again)
	}
	return all
}

// prefix of critest's tests, which their names here do not have.
const prefix = "[k8s.io] "

// exactly are the arguments that select tests by their names.
func exactly(tests []string) []string {
	var args []string
	for _, name := range tests {
		args = append(args, "-ginkgo.focus="+regexp.QuoteMeta(prefix+name)+"$")
	}
	return args
}

// critest runs it with arguments, and returns what became of the tests that were
// selected.
func critest(t *testing.T, args ...string) (map[string]result, error) {
	program := filepath.Join(testenv.Tool(t, "cri-tools", "1.34.0"), "critest")
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		return nil, err
	}
	report := filepath.Join(dir, "report.json")
	cmd := exec.Command(program, append([]string{"-config=/dev/null", "-ginkgo.no-color", "-ginkgo.json-report=" + report}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out, runErr := cmd.CombinedOutput() // fails when a test does
	data, err := os.ReadFile(report)
	if err != nil {
		return nil, fmt.Errorf("critest made no report: %w (%v)\n%s", err, runErr, out)
	}
	return parse(data)
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
			if s.LeafNodeType == "It" {
				name := strings.Join(append(s.ContainerHierarchyTexts, s.LeafNodeText), " ")
				results[strings.TrimPrefix(name, prefix)] = result{s.State, s.Failure.Message}
			}
		}
	}
	return results, nil
}

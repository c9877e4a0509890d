// Package critest runs the conformance suite for container runtimes of
// Kubernetes (sigs.k8s.io/cri-tools) on handlers with our shim and on runc, and
// compares the two.
package critest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
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

// notRun are tests that cannot be run here, and why.
var notRun = map[string]string{
	"Image Manager public image with digest should be pulled and removed [Conformance]": "" +
		"it pulls an image of a certain digest from a registry of the internet, and nothing made here has that digest",
}

// TestConformance: our handlers fail nowhere where runc does not.
func TestConformance(t *testing.T) {
	selected, err := regexp.Compile(*focus)
	must(t, err)
	var tests []string
	left := map[string]string{}
	for name, r := range list(t) {
		switch {
		case notRun[name] != "":
			left[name] = notRun[name]
		case r.state == "skipped":
			left[name] = "it measures, and tests nothing"
		case selected.MatchString(name):
			tests = append(tests, name)
		}
	}
	if len(tests) == 0 {
		t.Fatalf("critest has no test that matches %q", *focus)
	}
	slices.Sort(tests)
	columns := append([]string{"runc"}, strings.Split(*handlers, ",")...)
	all := runAll(t, startNode(t), columns, tests)
	t.Log(table(columns, tests, all))
	for _, handler := range columns[1:] {
		for _, name := range tests {
			ours, runc := all[handler][name], all["runc"][name]
			if ours.state != runc.state && ours.state != "passed" && (runc.state == "passed" || ours.state != "skipped") {
				t.Errorf("%s: %q with the handler %s, %q with runc: %s", name, ours.state, handler, runc.state, ours.message)
			}
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(&b, "%s\n%17s %s\n", name, "", left[name])
	}
	t.Logf("not run: %d\n%s", len(left), &b)
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

// table lists what became of every test with every handler, and why it did not
// pass.
func table(handlers, tests []string, all map[string]map[string]result) string {
	var b strings.Builder
	for _, handler := range handlers {
		fmt.Fprintf(&b, "%s: %s\n", handler, count(all[handler]))
	}
	for _, name := range tests {
		why := map[string][]string{}
		for _, handler := range handlers {
			r := all[handler][name]
			fmt.Fprintf(&b, "%-8s ", r.state)
			if r.message != "" {
				message := strings.Join(strings.Fields(r.message), " ")
				why[message] = append(why[message], handler)
			}
		}
		fmt.Fprintln(&b, name)
		for _, message := range slices.Sorted(maps.Keys(why)) {
			fmt.Fprintf(&b, "%*s%s: %.200s\n", 9*len(handlers), "", strings.Join(why[message], ", "), message)
		}
	}
	return b.String()
}

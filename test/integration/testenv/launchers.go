package testenv

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Launched is what the shim has logged of a Wasm container.
type Launched struct {
	ID string
	// Launcher is "direct" or "runc".
	Launcher string
	// Reason is why it is runc.
	Reason string
}

// Launched lists the Wasm containers of this daemon that the shim had a choice
// for, in the order of the log.
func (c *Containerd) Launched() []Launched {
	var all []Launched
	lines := bufio.NewScanner(strings.NewReader(c.Log()))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if fields := logFields(lines.Text()); fields["msg"] == "container created" {
			all = append(all, Launched{fields["id"], fields["launcher"], fields["reason"]})
		}
	}
	return all
}

var logField = regexp.MustCompile(`(\w+)=("(?:[^"\\]|\\.)*"|\S*)`)

// logFields are the fields of a line of a log (key=value, with quotes where they
// are needed).
func logFields(line string) map[string]string {
	fields := map[string]string{}
	for _, m := range logField.FindAllStringSubmatch(line, -1) {
		value := m[2]
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		fields[m[1]] = value
	}
	return fields
}

// LaunchedFor is the one container whose id has that prefix.
func (c *Containerd) LaunchedFor(t testing.TB, id string) Launched {
	t.Helper()
	var found Launched
	Eventually(t, "line about container "+id+" in the log", func() error {
		all := c.Launched()
		i := slices.IndexFunc(all, func(l Launched) bool { return strings.HasPrefix(l.ID, id) })
		if i < 0 {
			return fmt.Errorf("there are %v", all)
		}
		found = all[i]
		return nil
	})
	return found
}

// RequireDirect fails the test if a container was made by runc for a reason that
// none of expected is a part of, if none was made directly, or if one of expected
// did not happen though all tests of the suite have been run. It is for the end
// of a suite, whose containers are those that daemons make of what users ask for.
// With another launcher than "auto" it does nothing.
func (c *Containerd) RequireDirect(t testing.TB, expected ...string) {
	t.Helper()
	if launcher := os.Getenv(launcherEnv); launcher != "auto" && launcher != "" {
		t.Logf("who makes containers was decided by %s=%s", launcherEnv, launcher)
		return
	}
	direct := 0
	reasons := map[string][]string{}
	for _, l := range c.Launched() {
		if l.Launcher == "direct" {
			direct++
			continue
		}
		reasons[l.Reason] = append(reasons[l.Reason], l.ID)
	}
	unseen := slices.Clone(expected)
	for reason, ids := range reasons {
		is := func(part string) bool { return strings.Contains(reason, part) }
		if !slices.ContainsFunc(expected, is) {
			t.Errorf("runc made %d containers because of %s: %s", len(ids), reason, ids)
		}
		unseen = slices.DeleteFunc(unseen, is)
		t.Logf("by runc: %d because of %s", len(ids), reason)
	}
	t.Logf("directly: %d", direct)
	if direct == 0 {
		t.Error("no container was made directly")
	}
	part := strings.Contains(flag.Lookup("test.run").Value.String(), "/")
	if len(unseen) > 0 && !part {
		t.Errorf("no container was made by runc because of %q", unseen)
	}
}

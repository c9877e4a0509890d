package cgroup2

import (
	"testing"
	"time"
)

// TestScopes is about cgroups that systemd makes for containers that it knows nothing
// else of, beside those of runc.
func TestScopes(t *testing.T) {
	if testing.Short() {
		t.Skip("the cgroups that systemd makes are not part of the short form")
	}
	t.Parallel()
	machine{systemd: true, limit: 20 * time.Minute, suites: []suite{
		{pkg: "pkg/cgroup/scope"},
		{pkg: "pkg/cgroup/container", run: "^TestScope"},
		{pkg: "pkg/launcher/direct", run: "^TestScopes"},
		{pkg: "test/integration/shim", run: "^TestScopes$"},
	}}.run(t)
}

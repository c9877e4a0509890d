package cgroup2

import (
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm/suites"
)

// TestScopes is about cgroups that systemd makes for containers that it knows nothing
// else of, beside those of runc.
func TestScopes(t *testing.T) {
	if testing.Short() {
		t.Skip("the cgroups that systemd makes are not part of the short form")
	}
	t.Parallel()
	suites.Machine{VM: vm.Machine{Systemd: true}, Limit: 20 * time.Minute, Guests: guests, Suites: []suites.Suite{
		{Pkg: "pkg/cgroup/scope"},
		{Pkg: "pkg/cgroup/container", Run: "^TestScope"},
		{Pkg: "pkg/launcher/direct", Run: "^TestScopes"},
		{Pkg: "test/integration/shim", Run: "^TestScopes$"},
	}}.Run(t)
}

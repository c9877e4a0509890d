// Package apparmor runs the tests of profiles in a virtual machine: AppArmor is a
// part of few kernels, and Linux 6.8 is the first in which a program of several
// threads can put itself under a profile.
package apparmor

import (
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm/suites"
)

func TestAppArmor(t *testing.T) {
	suites.Machine{
		VM:     vm.Machine{Kernel: testenv.Tool(t, "kernel", vm.NewerKernel), SecurityFS: true},
		Limit:  20 * time.Minute,
		Tools:  []string{"containerd", "runc", "dockerd", "docker-cli", "docker-buildx", "cri-tools"},
		Path:   []string{testenv.Tool(t, "apparmor", "debian12")},
		Guests: map[string][]testenv.Kind{"witness": {testenv.Wasm}},
		Suites: []suites.Suite{
			{Pkg: "pkg/apparmor"},
			// A runner that cannot go on is to be known in less than the usual five minutes.
			{Pkg: "test/integration/apparmor/profiles", Env: []string{"WAZERO_TEST_APPARMOR=1", "WAZERO_TEST_SLOW=3"}},
		},
	}.Run(t)
}

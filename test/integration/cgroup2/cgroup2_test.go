// Package cgroup2 runs tests of other packages in a virtual machine whose kernel
// has nothing but cgroup v2.
package cgroup2

import (
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm/suites"
)

// guests are the programs for the tests' images.
var guests = map[string][]testenv.Kind{
	"multi":     {testenv.Wasm, testenv.Native},
	"toolbox":   {testenv.Native},
	"pause":     {testenv.Native},
	"winsize":   {testenv.Native},
	"webserver": {testenv.Wasm},
}

// The machines run side by side where there are CPUs. With -short they run as
// much as shows that nothing is wrong with cgroup v2 as such.

// TestContainers is about cgroups of containers, of pods without a pause container
// and of compilers.
func TestContainers(t *testing.T) {
	t.Parallel()
	m := suites.Machine{Limit: 20 * time.Minute, Guests: guests}
	if testing.Short() {
		m.Suites = []suites.Suite{
			{Pkg: "pkg/cgroup"},
			{Pkg: "test/integration/shim", Run: "^(TestFiguresOfAGuest|TestUpdate|TestMemberOutOfMemory|TestPodWithoutPauseContainer|TestExecInAPausedContainer|TestPauseMeetsOtherCalls)$"},
		}
	} else {
		m.Suites = []suites.Suite{
			{Pkg: "pkg/cgroup"},
			{Pkg: "pkg/cgroup/cgroupfs"},
			{Pkg: "pkg/cgroup/container"}, // limits beside those of runc
			{Pkg: "pkg/launcher/pod"},
			// Without what takes minutes there.
			{Pkg: "pkg/codecache/compile", Skip: "^(TestPublishedProgramCompilesInTheCage|TestPsShowsTheModule|TestModuleThatNeedsTooMuchNamesTheLimit)$"},
			{Pkg: "test/integration/shim", Run: "^(TestFiguresOfAGuest|TestUpdate|TestOOMComesBeforeExit|TestMember|TestPod|TestHolder|TestThreeMembers|TestStopEndsTheMembers|TestDeleteAfterTheDeathOfTheShim|TestExecInAPausedContainer|TestPause)"},
			{Pkg: "test/integration/containerd", Run: "^TestEveryContainerd$/^2.4.2$"},
		}
	}
	m.Run(t)
}

// TestPods runs pods of both RuntimeClasses, with a pause container and without.
func TestPods(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		m := pods("^(limits|exec|OOMKilled)$")
		m.Suites[0].Skip = "^TestPods$/^podsandbox$/^group$/^(exec|OOMKilled)$"
		m.Run(t)
	} else {
		// Not "hostUsers false": that kernel's tmpfs, on which images are, cannot be
		// mounted with other users.
		pods("^(limits|logs|exec|OOMKilled|CPU_limit|resize|stats|sandbox|hooks|grace_period|shareProcessNamespace|beside_a_normal_pod)$").Run(t)
	}
}

// TestSystemd runs pods of both, with systemd to make their cgroups.
func TestSystemd(t *testing.T) {
	if testing.Short() {
		t.Skip("the cgroups that systemd makes are not part of the short form")
	}
	t.Parallel()
	m := pods("^(limits|exec|OOMKilled|CPU_limit|resize|stats|sandbox|beside_a_normal_pod|systemd)$")
	m.VM.Systemd = true
	m.Run(t)
}

// pods is a node of Kubernetes with some of its tests.
func pods(tests string) suites.Machine {
	return suites.Machine{Limit: 40 * time.Minute, Guests: guests, Suites: []suites.Suite{
		{Pkg: "test/integration/kubernetes", Run: "^TestPods$/^(podsandbox|sandboxer)$/^group$/" + tests},
	}}
}

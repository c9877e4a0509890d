package cgroup2

import (
	"testing"
	"time"
)

// The machines run side by side where there are CPUs. With -short they run as
// much as shows that nothing is wrong with cgroup v2 as such.

// TestContainers is about cgroups of containers, of pods without a pause container
// and of compilers.
func TestContainers(t *testing.T) {
	t.Parallel()
	m := machine{limit: 20 * time.Minute}
	if testing.Short() {
		m.suites = []suite{
			{pkg: "pkg/cgroup"},
			{pkg: "test/integration/shim", run: "^(TestFiguresOfAGuest|TestUpdate|TestMemberOutOfMemory|TestPodWithoutPauseContainer)$"},
		}
	} else {
		m.suites = []suite{
			{pkg: "pkg/cgroup"},
			{pkg: "pkg/cgroup/cgroupfs"},
			{pkg: "pkg/cgroup/container"}, // limits beside those of runc
			{pkg: "pkg/launcher/pod"},
			// Without what takes minutes there.
			{pkg: "pkg/codecache/compile", skip: "^(TestPublishedProgramCompilesInTheCage|TestPsShowsTheModule|TestModuleThatNeedsTooMuchNamesTheLimit)$"},
			{pkg: "test/integration/shim", run: "^(TestFiguresOfAGuest|TestUpdate|TestOOMComesBeforeExit|TestMember|TestPod|TestHolder|TestThreeMembers|TestStopEndsTheMembers|TestDeleteAfterTheDeathOfTheShim)"},
			{pkg: "test/integration/containerd", run: "^TestEveryContainerd$/^2.4.2$"},
		}
	}
	m.run(t)
}

// TestPods runs pods of both RuntimeClasses, with a pause container and without.
func TestPods(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		m := pods("^(limits|exec|OOMKilled)$")
		m.suites[0].skip = "^TestPods$/^podsandbox$/^group$/^(exec|OOMKilled)$"
		m.run(t)
	} else {
		// Not "hostUsers false": that kernel's tmpfs, on which images are, cannot be
		// mounted with other users.
		pods("^(limits|logs|exec|OOMKilled|CPU_limit|resize|stats|sandbox|hooks|grace_period|shareProcessNamespace|beside_a_normal_pod)$").run(t)
	}
}

// TestSystemd runs pods of both, with systemd to make their cgroups.
func TestSystemd(t *testing.T) {
	if testing.Short() {
		t.Skip("the cgroups that systemd makes are not part of the short form")
	}
	t.Parallel()
	m := pods("^(limits|exec|OOMKilled|CPU_limit|resize|stats|sandbox|beside_a_normal_pod|systemd)$")
	m.systemd = true
	m.run(t)
}

// pods is a node of Kubernetes with some of its tests.
func pods(tests string) machine {
	return machine{limit: 40 * time.Minute, suites: []suite{
		{pkg: "test/integration/kubernetes", run: "^TestPods$/^(podsandbox|sandboxer)$/^group$/" + tests},
	}}
}

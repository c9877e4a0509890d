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
	suites := []suite{
		{pkg: "pkg/cgroup"}, {pkg: "pkg/cgroup/cgroupfs"},
		{pkg: "test/integration/shim", run: "^(TestFiguresOfAGuest|TestUpdate|TestMemberOutOfMemory|TestPodWithoutPauseContainer)$"},
	}
	if !testing.Short() {
		suites = []suite{
			{pkg: "pkg/cgroup"}, {pkg: "pkg/cgroup/cgroupfs"},
			{pkg: "pkg/launcher/pod"},
			// Without what compiles CPython: minutes.
			{pkg: "pkg/codecache/compile", skip: "^TestPublishedProgram"},
			{pkg: "test/integration/shim", run: "^(TestFiguresOfAGuest|TestUpdate|TestOOMComesBeforeExit|TestMember|TestPod|TestHolder|TestThreeMembers|TestStopEndsTheMembers|TestDeleteAfterTheDeathOfTheShim)"},
			{pkg: "test/integration/containerd", run: "^TestEveryContainerd$/^2.4.2$"},
		}
	}
	inGuest(t, 20*time.Minute, suites...)
}

// TestPods runs pods of the RuntimeClass with a pause container.
func TestPods(t *testing.T) {
	t.Parallel()
	inGuest(t, 25*time.Minute, pods("podsandbox"))
}

// TestSandboxedPods runs pods of the one without.
func TestSandboxedPods(t *testing.T) {
	t.Parallel()
	inGuest(t, 25*time.Minute, pods("sandboxer"))
}

func pods(class string) suite {
	tests := "^(limits|exec|OOMKilled)$"
	if !testing.Short() {
		tests = "^(limits|logs|exec|OOMKilled|CPU_limit|resize|stats|sandbox|hooks|grace_period|shareProcessNamespace|hostUsers_false|beside_a_normal_pod)$"
	}
	return suite{pkg: "test/integration/kubernetes", run: "^TestPods$/^" + class + "$/^group$/" + tests}
}

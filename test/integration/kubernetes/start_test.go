package kubernetes

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

const sleeper = `
containers:
- {name: app, image: WASM, args: [sleep]}
`

// ready measures how long it takes from the request for a pod until it is ready.
func ready(t *testing.T, k cluster) {
	first := k.StartNamedPod(t, k.name("first"), "", k.spec(sleeper)) // compiles the module
	first.Ready(t)
	first.Delete(t)
	var fastest time.Duration
	for range 3 {
		begin := time.Now()
		p := k.pod(t, sleeper)
		p.Ready(t)
		took := time.Since(begin)
		t.Logf("ready after %s", took.Round(time.Millisecond))
		if fastest == 0 || took < fastest {
			fastest = took
		}
		p.Delete(t)
	}
	if fastest > testenv.Slow(5*time.Second) { // which a busy machine needs
		t.Errorf("the fastest of three pods was ready after %s", fastest)
	}
}

// termination deletes a pod whose guest spins: it has a minute to end, and must
// not need it.
func termination(t *testing.T, k cluster) {
	for _, guest := range []string{"sleep", "spin"} {
		p := k.StartNamedPod(t, k.name("terminated-"+guest), "", k.spec(`
terminationGracePeriodSeconds: 60
containers:
- {name: app, image: WASM, args: [`+guest+`]}
`))
		p.Ready(t)
		id := strings.TrimPrefix(p.Get(t).Container("app").ContainerID, "containerd://")
		ended := waitForEnd(k.pid(t, p, "app"))
		begin := time.Now()
		gone := p.Delete(t)
		end := <-ended
		took := end.Sub(k.signalled(t, id))
		t.Logf("%s: process ended %s after SIGTERM and %s after the request, pod gone after %s", guest,
			took.Round(time.Millisecond), end.Sub(begin).Round(time.Millisecond), gone.Round(time.Millisecond))
		if took > testenv.Slow(5*time.Second) { // also on a busy machine; SIGKILL is far off
			t.Errorf("%s: the process ended %s after SIGTERM", guest, took)
		}
	}
}

// signalled is when containerd says that it sends SIGTERM to a container.
func (k cluster) signalled(t *testing.T, id string) time.Time {
	t.Helper()
	pattern := regexp.MustCompile(`time="([^"]+)" level=info msg="Stop container \\"` + id + `\\" with signal terminated"`)
	found := pattern.FindStringSubmatch(k.Containerd.Log())
	if found == nil {
		t.Fatalf("containerd's log has no SIGTERM for container %s", id)
	}
	at, err := time.Parse(time.RFC3339Nano, found[1])
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// waitForEnd returns a channel on which comes when a process has ended; a minute
// from now at the latest.
func waitForEnd(pid int) <-chan time.Time {
	ended := make(chan time.Time, 1)
	go func() {
		for range 6000 {
			if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		ended <- time.Now()
	}()
	return ended
}

// gracePeriod has a guest, which ends at once, beside a program that does not
// want to end: that one gets the time that the pod gives it.
func gracePeriod(t *testing.T, k cluster) {
	p := k.pod(t, `
terminationGracePeriodSeconds: 8
containers:
- {name: app, image: WASM, args: [sleep]}
- {name: tools, image: TOOLS, args: [stubborn]}
`)
	p.Ready(t)
	p.WaitLog(t, "tools", "ignoring")
	guest, stubborn := waitForEnd(k.pid(t, p, "app")), waitForEnd(k.pid(t, p, "tools"))
	begin := time.Now()
	p.Delete(t)
	if took := (<-guest).Sub(begin); took > 7*time.Second {
		t.Errorf("the guest ended %s after the request", took)
	}
	if took := (<-stubborn).Sub(begin); took < 8*time.Second || took > 20*time.Second {
		t.Errorf("what ignores SIGTERM ended %s after the request, with 8 s given", took)
	}
}

// pid of a container's first process, in the tests' pid namespace.
func (k cluster) pid(t *testing.T, p *testenv.LivePod, container string) int {
	t.Helper()
	pid, err := k.Pid(p.Get(t).Container(container))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

package kubernetes

import (
	"os"
	"strconv"
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
	if fastest > 2*time.Second {
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
		pid := k.pid(t, p, "app")
		ended := waitForEnd(pid)
		gone := p.Delete(t)
		took := <-ended
		t.Logf("%s: process ended %s after the request, pod gone after %s", guest, took.Round(time.Millisecond), gone.Round(time.Millisecond))
		if took > time.Second {
			t.Errorf("%s: the process ended %s after the request", guest, took)
		}
	}
}

// waitForEnd returns a channel on which comes how long it took a process to end.
func waitForEnd(pid int) <-chan time.Duration {
	begin := time.Now()
	ended := make(chan time.Duration, 1)
	go func() {
		for time.Since(begin) < time.Minute {
			if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		ended <- time.Since(begin)
	}()
	return ended
}

// gracePeriod has a guest, which ends at once, beside a program that does not
// want to end: that one gets the time that the pod gives it.
func gracePeriod(t *testing.T, k cluster) {
	p := k.pod(t, `
terminationGracePeriodSeconds: 4
containers:
- {name: app, image: WASM, args: [sleep]}
- {name: tools, image: TOOLS, args: [stubborn]}
`)
	p.Ready(t)
	p.WaitLog(t, "tools", "ignoring")
	guest, stubborn := waitForEnd(k.pid(t, p, "app")), waitForEnd(k.pid(t, p, "tools"))
	p.Delete(t)
	if took := <-guest; took > 2*time.Second {
		t.Errorf("the guest ended %s after the request", took)
	}
	if took := <-stubborn; took < 4*time.Second || took > 8*time.Second {
		t.Errorf("what ignores SIGTERM ended %s after the request, with 4 s given", took)
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

package kubernetes

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func logs(t *testing.T, k cluster) {
	p := k.pod(t, `
containers:
- {name: app, image: WASM, args: [tick]}
`)
	p.Ready(t)
	p.WaitLog(t, "app", "tick 3\n")
	if got := p.Logs(t, "app", "--limit-bytes=14"); got != "tick 1\ntick 2\n" {
		t.Errorf("the first bytes of the log are %q", got)
	}
	if got := p.Logs(t, "app", "--tail=1"); !strings.HasPrefix(got, "tick ") || strings.Count(got, "\n") != 1 {
		t.Errorf("the last line of the log is %q", got)
	}
	follow := k.KubectlCommand("logs", p.Name, "--follow", "--tail=1")
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 5 {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "tick ") {
			t.Errorf("the log that is followed has the line %q", lines.Text())
			break
		}
	}
	_ = follow.Process.Kill()
	_ = follow.Wait()
}

// previousLogs looks at what a container has printed before it was restarted.
func previousLogs(t *testing.T, k cluster) {
	p := k.pod(t, `
containers:
- {name: app, image: WASM, args: [both]}
`)
	pod := p.Until(t, "restart", func(pod *testenv.Pod) bool { return pod.Container("app").RestartCount > 0 })
	last := pod.Container("app").LastState.Terminated
	if last == nil || last.ExitCode != 0 || last.Reason != "Completed" {
		t.Errorf("the last state is %+v", pod.Container("app").LastState)
	}
	// The guest ends so soon that the container after it may have ended, too: the
	// kubelet keeps the log of the last one only, of which the pod's status does not
	// know yet.
	testenv.Eventually(t, "previous log", func() error {
		if got := p.Logs(t, "app", "--previous"); got != "to stdout\nto stderr\n" && got != "to stderr\nto stdout\n" {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// manyLogs loses nothing of what a guest prints as fast as it can before it ends.
func manyLogs(t *testing.T, k cluster) {
	p := k.pod(t, `
restartPolicy: Never
containers:
- {name: app, image: WASM, args: [burst, "4"]}
`)
	p.Phase(t, "Succeeded")
	const lines = 4 << 14
	n := 0
	for line := range strings.Lines(p.Logs(t, "app")) {
		if want := fmt.Sprintf("%063d\n", n); line != want {
			t.Fatalf("line %d of the log is %q", n, line)
		}
		n++
	}
	if n != lines {
		t.Errorf("the log has %d lines, not %d", n, lines)
	}
}

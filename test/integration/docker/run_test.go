package docker

import (
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// runOnce is docker run --rm with our runtime.
func runOnce(t *testing.T, d *testenv.Docker, stdin string, args ...string) testenv.Result {
	t.Helper()
	flags := []string{"run", "--rm", "--runtime", testenv.Runtime}
	if stdin != "" {
		flags = append(flags, "--interactive")
	}
	return d.Do(t, stdin, append(flags, args...)...)
}

// requireOutput runs a container that has to print exactly this.
func requireOutput(t *testing.T, d *testenv.Docker, want string, args ...string) {
	t.Helper()
	if r := runOnce(t, d, "", args...); r.Status != 0 || r.Stdout != want {
		t.Errorf("docker run %s: %+v, want output %q", strings.Join(args, " "), r, want)
	}
}

func run(t *testing.T, d *testenv.Docker) {
	requireOutput(t, d, "hello\n", image, "echo", "hello")
	r := runOnce(t, d, "", image, "both")
	if r.Stdout != "to stdout\n" || r.Stderr != "to stderr\n" {
		t.Errorf("streams are mixed up: %+v", r)
	}
}

func runPlatform(t *testing.T, d *testenv.Docker) {
	for tag, platform := range map[string]string{"wasip1": "wasip1/wasm", "wasi": "wasi/wasm"} {
		requireOutput(t, d, "with\n", "--platform", platform, image+":"+tag, "echo", "with")
		requireOutput(t, d, "without\n", image+":"+tag, "echo", "without")
	}
}

func runInteractive(t *testing.T, d *testenv.Docker) {
	const text = "one\ntwo\n"
	if r := runOnce(t, d, text, image, "cat"); r.Status != 0 || r.Stdout != text {
		t.Errorf("cat gave %+v", r)
	}
}

func logs(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, image, "both")
	c.WaitFor(t, "{{.State.Status}}", "exited")
	if r := c.Logs(t); r.Stdout != "to stdout\n" || r.Stderr != "to stderr\n" {
		t.Errorf("logs: %+v", r)
	}
	burst := d.RunAnother(t, "burst", image, "burst", "1")
	burst.WaitFor(t, "{{.State.Status}}", "exited")
	if r := burst.Logs(t); len(r.Stdout) != 1<<20 {
		t.Errorf("logs have %d bytes of a burst of 1 MiB", len(r.Stdout))
	}
}

func attach(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--interactive", image, "cat")
	cmd := d.Command("attach", c.Name)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stdout testenv.Buffer
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, "through attach\n"); err != nil {
		t.Fatal(err)
	}
	stdout.WaitFor(t, "through attach\n")
	// Docker keeps the stdin of a detached container open; the end of the
	// container ends attach, with the container's status.
	d.Docker(t, "stop", c.Name)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 143 {
		t.Errorf("attach ended with %v", err)
	}
}

func exitCodes(t *testing.T, d *testenv.Docker) {
	tests := []struct {
		want int
		text string // on stderr
		args []string
	}{
		{0, "", []string{image, "exit", "0"}},
		{3, "", []string{image, "exit", "3"}},
		{126, "permission denied", []string{"--user", "1234", "--entrypoint", "/private.wasm", image}},
		{126, "", []string{"--entrypoint", "/bin", image}},
		{127, "", []string{"--entrypoint", "/missing.wasm", image}},
		{127, "", []string{"--entrypoint", "missing", image}},
		{134, "out of bounds memory access", []string{image, "trap"}},
	}
	for _, test := range tests {
		t.Run(strconv.Itoa(test.want)+" "+strings.Join(test.args, " "), func(t *testing.T) {
			r := runOnce(t, d, "", test.args...)
			if r.Status != test.want || !strings.Contains(r.Stderr, test.text) {
				t.Errorf("docker run %s: %+v", strings.Join(test.args, " "), r)
			}
		})
	}
	for signal, want := range map[string]string{"TERM": "143", "KILL": "137"} {
		t.Run(want+" "+signal, func(t *testing.T) {
			c := d.RunDetached(t, image, "spin")
			c.WaitLog(t, "spinning")
			d.Docker(t, "kill", "--signal", signal, c.Name)
			if got := d.Docker(t, "wait", c.Name); got != want {
				t.Errorf("exit status is %s, want %s", got, want)
			}
		})
	}
}

func stop(t *testing.T, d *testenv.Docker) {
	for _, what := range []string{"spin", "sleep", "cat"} {
		t.Run(what, func(t *testing.T) {
			c := d.RunDetached(t, "--interactive", image, what)
			if what != "cat" {
				c.WaitLog(t, what)
			}
			begin := time.Now()
			d.Docker(t, "stop", c.Name)
			if took := time.Since(begin); took > testenv.Slow(8*time.Second) { // Docker would kill after 10
				t.Errorf("docker stop took %s", took)
			}
			if got := c.Inspect(t, "{{.State.ExitCode}}"); got != "143" {
				t.Errorf("exit status is %s, want 143", got)
			}
		})
	}
}

func kill(t *testing.T, d *testenv.Docker) {
	for signal, want := range map[string]string{"HUP": "129", "INT": "130", "KILL": "137", "TERM": "143"} {
		t.Run(signal, func(t *testing.T) {
			c := d.RunDetached(t, image, "sleep")
			c.WaitLog(t, "sleeping")
			d.Docker(t, "kill", "-s", signal, c.Name)
			c.WaitFor(t, "{{.State.Status}} {{.State.ExitCode}}", "exited "+want)
		})
	}
}

func restartPolicy(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--restart", "on-failure:2", image, "exit", "3")
	c.WaitFor(t, "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}", "exited 3 2")
	again := d.RunAnother(t, "restart", image, "echo", "again")
	again.WaitFor(t, "{{.State.Status}}", "exited")
	d.Docker(t, "restart", again.Name)
	again.WaitFor(t, "{{.State.Status}}", "exited")
	if r := again.Logs(t); r.Stdout != "again\nagain\n" {
		t.Errorf("logs after a restart: %+v", r)
	}
}

func healthcheck(t *testing.T, d *testenv.Docker) {
	healthy := d.RunDetached(t, image+":healthy", "sleep")
	healthy.WaitFor(t, "{{.State.Health.Status}}", "healthy")
	sick := d.RunAnother(t, "sick", image+":sick", "sleep")
	sick.WaitFor(t, "{{.State.Health.Status}}", "unhealthy")
}

package kubernetes

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/console"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func execModule(t *testing.T, k cluster) {
	p := k.pod(t, sleeper)
	p.Ready(t)
	if r := p.Exec(t, "app", "/multi.wasm", "echo", "a", "b c"); r.Status != 0 || r.Stdout != "a b c\n" {
		t.Errorf("exec of echo: %+v", r)
	}
	if r := p.Exec(t, "app", "/multi.wasm", "both"); r.Stdout != "to stdout\n" || r.Stderr != "to stderr\n" {
		t.Errorf("exec of both: %+v", r)
	}
	if r := k.KubectlDo(t, "typed\n", "exec", "--stdin", p.Name, "--", "/multi.wasm", "cat"); r.Status != 0 || r.Stdout != "typed\n" {
		t.Errorf("exec of cat with stdin: %+v", r)
	}
	if r := p.Exec(t, "app", "/multi.wasm", "exit", "7"); r.Status != 7 {
		t.Errorf("exec of exit 7: %+v", r)
	}
	if r := p.Exec(t, "app", "/missing.wasm"); r.Status == 0 || !strings.Contains(r.Stderr, "/missing.wasm") {
		t.Errorf("exec of a module that is not there: %+v", r)
	}
	if pod := p.Get(t); !pod.Is("Ready") || pod.Container("app").RestartCount != 0 {
		t.Errorf("after the execs the pod is %+v", pod.Status)
	}
}

// terminal runs a command on a terminal of its own. It returns the other side and
// what it has shown so far; the command is waited for by wait.
func terminal(t *testing.T, cmd *exec.Cmd) (keyboard console.Console, screen *testenv.Buffer, wait func() error) {
	t.Helper()
	master, slave, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := master.Resize(console.WinSize{Height: 30, Width: 100}); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(slave, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test has failed half way
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	screen = &testenv.Buffer{}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(screen, master) // ends with EIO when the command has gone
	}()
	return master, screen, func() error { err := cmd.Wait(); <-copied; return err }
}

func execTTY(t *testing.T, k cluster) {
	p := k.pod(t, sleeper)
	p.Ready(t)
	keyboard, screen, wait := terminal(t, k.KubectlCommand("exec", "-it", p.Name, "--", "/multi.wasm", "cat"))
	fmt.Fprint(keyboard, "typed\n")
	testenv.Eventually(t, "echo of the terminal and of cat", func() error {
		if strings.Count(screen.String(), "typed") < 2 {
			return fmt.Errorf("the screen shows %q", screen.String())
		}
		return nil
	})
	fmt.Fprint(keyboard, "\x04") // end of file
	if err := wait(); err != nil {
		t.Errorf("kubectl exec -it: %v; the screen shows %q", err, screen.String())
	}
}

// execResize changes the size of kubectl's terminal: a native sidecar is told, and
// so is the terminal of a guest, which itself has no way to ask.
func execResize(t *testing.T, k cluster) {
	p := k.pod(t, twoContainers)
	p.Ready(t)
	native, screen, wait := terminal(t, k.KubectlCommand("exec", "-it", p.Name, "-c", "tools", "--", "/winsize"))
	shows := func(size string) {
		t.Helper()
		testenv.Eventually(t, "size "+size, func() error {
			if !strings.HasSuffix(screen.String(), size+"\r\n") {
				return fmt.Errorf("the screen shows %q", screen.String())
			}
			return nil
		})
	}
	shows("100x30")
	resize := func(c console.Console) {
		t.Helper()
		if err := c.Resize(console.WinSize{Height: 44, Width: 133}); err != nil {
			t.Fatal(err)
		}
	}
	resize(native)
	shows("133x44")
	fmt.Fprint(native, "\x03") // ctrl-C
	if err := wait(); err == nil {
		t.Errorf("after ctrl-C kubectl ended without an error; the screen shows %q", screen.String())
	}

	guest, screen, wait := terminal(t, k.KubectlCommand("exec", "-it", p.Name, "-c", "app", "--", "/multi.wasm", "cat"))
	fmt.Fprint(guest, "typed\n")
	var tty string // of the exec's process
	testenv.Eventually(t, "process of the exec", func() error {
		tty = ""
		for _, pid := range members(t, k.pid(t, p, "app")) {
			if target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", pid)); err == nil && strings.HasPrefix(target, "/dev/pts/") {
				tty = fmt.Sprintf("/proc/%d/fd/0", pid)
			}
		}
		if tty == "" {
			return fmt.Errorf("no process has a terminal; the screen shows %q", screen.String())
		}
		return nil
	})
	requireSize(t, tty, console.WinSize{Height: 30, Width: 100})
	resize(guest)
	requireSize(t, tty, console.WinSize{Height: 44, Width: 133})
	fmt.Fprint(guest, "\x04") // end of file
	if err := wait(); err != nil {
		t.Errorf("kubectl exec -it: %v; the screen shows %q", err, screen.String())
	}
}

// members are the processes of a process's pid namespace.
func members(t *testing.T, pid int) []int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	mine := namespace(t, pid, "pid")
	var all []int
	for _, dir := range dirs {
		if link, err := os.Readlink(dir + "/ns/pid"); err == nil && link == mine {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			all = append(all, pid)
		}
	}
	return all
}

// requireSize waits until a terminal has a size.
func requireSize(t *testing.T, path string, want console.WinSize) {
	t.Helper()
	testenv.Eventually(t, "size of the guest's terminal", func() error {
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		tty, err := console.ConsoleFromFile(f)
		if err != nil {
			return err
		}
		if got, err := tty.Size(); err != nil || got != want {
			return fmt.Errorf("it is %+v (%v), want %+v", got, err, want)
		}
		return nil
	})
}

// attach connects to the stdin and stdout of a container's first process.
func attach(t *testing.T, k cluster) {
	p := k.pod(t, `
containers:
- {name: app, image: WASM, args: [cat], stdin: true, stdinOnce: true}
restartPolicy: Never
`)
	p.Ready(t)
	cmd := k.KubectlCommand("attach", "--stdin", p.Name)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var screen testenv.Buffer
	cmd.Stdout, cmd.Stderr = &screen, &screen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(stdin, "typed")
	testenv.Eventually(t, "answer of cat", func() error {
		if !strings.Contains(screen.String(), "typed\n") {
			return fmt.Errorf("kubectl attach shows %q", screen.String())
		}
		return nil
	})
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("kubectl attach: %v; it shows %q", err, screen.String())
	}
	p.Phase(t, "Succeeded") // stdinOnce closes it with the attachment
}

func portForward(t *testing.T, k cluster) {
	p := k.pod(t, `
containers:
- {name: app, image: WASM, args: [sleep]}
- {name: server, image: TOOLS, args: [serve, "8080"]}
`)
	p.Ready(t)
	p.WaitLog(t, "server", "serving")
	cmd := k.KubectlCommand("port-forward", "pod/"+p.Name, ":8080")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	if err != nil || address == "" {
		t.Fatalf("kubectl port-forward prints %q (%v) %s", line, err, stderr.Bytes())
	}
	resp, err := http.Get("http://" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello from "+p.Name+"\n" {
		t.Errorf("the server answers %q (%v)", body, err)
	}
}

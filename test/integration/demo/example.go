package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/image"
)

// example is an entry of examples.json; examples/README.md says what it means.
type example struct {
	Name   string
	About  string
	Mounts []struct {
		Source, Destination string
		ReadOnly            bool
	}
	Stdout          string
	StderrContains  []string
	Status          int
	StopAfterStdout bool
	Signal          string
}

func readExamples(dir string) ([]example, error) {
	data, err := os.ReadFile(filepath.Join(dir, "examples.json"))
	if err != nil {
		return nil, err
	}
	var all []example
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("examples.json: %w", err)
	}
	return all, nil
}

// show imports the image of an example, runs it and checks the outcome.
func (d *demo) show(e example) error {
	fmt.Printf("\n\033[1m# %s: %s\033[0m\n", e.Name, e.About)
	name := "docker.io/library/" + e.Name + ":latest"
	if err := d.importImage(name, e.Name); err != nil {
		return err
	}
	want, err := os.ReadFile(filepath.Join(d.examples, e.Stdout))
	if err != nil {
		return err
	}

	args := []string{"run", "--rm", "--runtime", runtimeName}
	for _, m := range e.Mounts {
		options := "rbind"
		if m.ReadOnly {
			options += ":ro"
		}
		args = append(args, "--mount", fmt.Sprintf("type=bind,src=%s,dst=%s,options=%s",
			filepath.Join(d.examples, m.Source), m.Destination, options))
	}
	args = append(args, name, e.Name)
	fmt.Printf("$ ctr %s\n", strings.Join(args, " "))
	o, err := d.runToEnd(e, d.ctr(args...), string(want))
	if err != nil {
		return err
	}
	return o.check(e, string(want))
}

func (d *demo) importImage(name, dir string) error {
	img, err := image.FromDockerfile(name, filepath.Join(d.built, dir))
	if err != nil {
		return err
	}
	archive := filepath.Join(d.dir, "image.tar")
	if err := img.WriteArchive(archive); err != nil {
		return err
	}
	if out, err := d.ctr("images", "import", archive).CombinedOutput(); err != nil {
		return fmt.Errorf("import the image: %w: %s", err, out)
	}
	return nil
}

// outcome of one ctr run.
type outcome struct {
	stdout, stderr string
	status         int
}

// runToEnd shows the output while it comes. It stops an example that does not
// end by itself.
func (d *demo) runToEnd(e example, cmd *exec.Cmd, want string) (outcome, error) {
	stdout, stderr := &tee{to: os.Stdout}, &tee{to: os.Stderr}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	watchdog := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	var stopped error
	if e.StopAfterStdout {
		stopped = d.stop(e, stdout, want)
	}
	err := cmd.Wait()
	if stopped != nil {
		return outcome{}, stopped
	}
	status := cmd.ProcessState.ExitCode()
	if status < 0 {
		return outcome{}, fmt.Errorf("ctr run: %w", err)
	}
	if status != 0 {
		fmt.Printf("(exit status %d)\n", status)
	}
	return outcome{stdout.String(), stderr.String(), status}, nil
}

// stop waits for the expected output and then sends the signal.
func (d *demo) stop(e example, stdout *tee, want string) error {
	for deadline := time.Now().Add(30 * time.Second); stdout.String() != want; time.Sleep(20 * time.Millisecond) {
		if d.ctx.Err() != nil || time.Now().After(deadline) {
			_ = d.ctr("task", "kill", "--signal", "SIGKILL", e.Name).Run()
			return fmt.Errorf("its output is %q, expected %q", stdout.String(), want)
		}
	}
	args := []string{"task", "kill", "--signal", e.Signal, e.Name}
	fmt.Printf("$ ctr %s\n", strings.Join(args, " "))
	if out, err := d.ctr(args...).CombinedOutput(); err != nil {
		return fmt.Errorf("stop it: %w: %s", err, out)
	}
	return nil
}

func (o outcome) check(e example, want string) error {
	if o.stdout != want {
		return fmt.Errorf("its output is %q, expected %q", o.stdout, want)
	}
	for _, part := range e.StderrContains {
		if !strings.Contains(o.stderr, part) {
			return fmt.Errorf("stderr has no %q", part)
		}
	}
	if o.status != e.Status {
		return fmt.Errorf("exit status is %d, expected %d", o.status, e.Status)
	}
	return nil
}

// tee shows what is written and keeps it.
type tee struct {
	to io.Writer

	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tee) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.buf.Write(p)
	t.mu.Unlock()
	return t.to.Write(p)
}

func (t *tee) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

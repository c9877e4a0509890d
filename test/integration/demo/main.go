// Command demo runs each example under a private containerd with our shim, and
// shows the commands and what they print. It fails if an example does not do
// what examples/examples.json says.
//
//	demo -containerd DIR -runc DIR -shim DIR -examples DIR -built DIR
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

const runtimeName = "io.containerd.wazero.v1"

func main() {
	var d demo
	flag.StringVar(&d.containerd, "containerd", "", "`directory` of containerd and ctr")
	flag.StringVar(&d.runc, "runc", "", "`directory` of runc")
	flag.StringVar(&d.shim, "shim", "", "`directory` of the shim")
	flag.StringVar(&d.examples, "examples", "", "`directory` of the examples' sources")
	flag.StringVar(&d.built, "built", "", "`directory` of the examples' images, made by examples/build.sh")
	flag.Parse()
	os.Exit(isolated.Run(func() int {
		if err := d.run(); err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
			return 1
		}
		return 0
	}))
}

// demo is one private containerd and what it runs.
type demo struct {
	containerd, runc, shim, examples, built string

	ctx    context.Context // ends when the user interrupts
	dir    string          // everything of this run
	daemon *exec.Cmd
}

func (d *demo) run() (retErr error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d.ctx = ctx
	all, err := readExamples(d.examples)
	if err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "demo-"); err != nil {
		return err
	}
	defer func() { retErr = errors.Join(retErr, d.cleanup(retErr != nil)) }()
	if err := d.start(); err != nil {
		return err
	}
	for _, e := range all {
		err := d.show(e)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			return fmt.Errorf("example %s: %w", e.Name, err)
		}
	}
	fmt.Printf("\nAll %d examples did what they should.\n", len(all))
	return nil
}

// start starts containerd and waits until it answers.
func (d *demo) start() (err error) {
	d.daemon, err = isolated.StartContainerd(d.containerd, d.dir, isolated.ContainerdConfig(d.dir), d.environ())
	return err
}

func (d *demo) environ() []string {
	return []string{"PATH=" + d.shim + ":" + d.runc + ":" + d.containerd + ":" + os.Getenv("PATH"), "TMPDIR=" + d.dir,
		"WAZERO_SHIM_CACHE_DIR=" + filepath.Join(d.dir, "code"),
		// that cgroup v1 goes away some day is no news for a demo
		"CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=true"}
}

// namespace of containerd; its cgroups have the same name.
func (d *demo) namespace() string { return filepath.Base(d.dir) }

func (d *demo) ctr(args ...string) *exec.Cmd {
	args = append([]string{"--address", filepath.Join(d.dir, "c.sock"), "--namespace", d.namespace()}, args...)
	cmd := exec.CommandContext(d.ctx, filepath.Join(d.containerd, "ctr"), args...)
	cmd.Env = d.environ()
	return cmd
}

// cleanup ends containerd and removes what is outside of the namespaces: files
// and cgroups. After a success no cgroup of a container may be left.
func (d *demo) cleanup(failed bool) error {
	if d.daemon != nil {
		_ = d.daemon.Process.Signal(syscall.SIGTERM)
		_ = d.daemon.Wait()
	}
	remove := isolated.RemoveCgroups
	if failed {
		remove = isolated.RemoveEverything
	}
	return errors.Join(remove(d.namespace()), os.RemoveAll(d.dir))
}

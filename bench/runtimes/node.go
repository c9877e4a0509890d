package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/image"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// Versions of what the runtimes have in common; test/tools knows how to build
// exactly these.
const (
	containerdVersion = "2.4.2"
	runcVersion       = "1.5.2"
)

// binaries are directories of programs.
type binaries struct{ containerd, runc, shim, floor string }

// node is a private containerd.
type node struct {
	*client.Client
	dir    string
	bin    binaries
	daemon *exec.Cmd
}

// startNode starts containerd with all shims on its PATH.
func startNode(bin binaries) (n *node, err error) {
	n = &node{bin: bin}
	// Short, because paths of sockets are limited to 107 bytes.
	if n.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	env := []string{"HOME=" + n.dir, "TMPDIR=" + n.dir,
		"PATH=" + strings.Join([]string{bin.shim, bin.floor, bin.runc, bin.containerd, os.Getenv("PATH")}, ":")}
	// Nobody measures with a trace of every step in the log.
	config := strings.Replace(isolated.ContainerdConfig(n.dir), `level = "trace"`, `level = "info"`, 1)
	if n.daemon, err = isolated.StartContainerd(bin.containerd, n.dir, config, env); err != nil {
		return nil, errors.Join(err, os.RemoveAll(n.dir))
	}
	n.Client, err = client.New(filepath.Join(n.dir, "c.sock"), client.WithDefaultNamespace(n.namespace()))
	if err != nil {
		return nil, errors.Join(err, n.stop(true))
	}
	return n, nil
}

// namespace of containerd; its cgroups have the same name.
func (n *node) namespace() string { return filepath.Base(n.dir) }

// context carries the namespace.
func (n *node) context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, n.namespace())
}

// cache is where our shim keeps its code in warm runs.
func (n *node) cache() string { return filepath.Join(n.dir, "code") }

// bundle is the directory of a running container.
func (n *node) bundle(id string) string {
	return filepath.Join(n.dir, "state", "io.containerd.runtime.v2.task", n.namespace(), id)
}

// load makes an image known and unpacks it.
func (n *node) load(ctx context.Context, img image.Image) error {
	path := filepath.Join(n.dir, "image.tar")
	if err := img.WriteArchive(path); err != nil {
		return err
	}
	defer os.Remove(path)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	imported, err := n.Import(ctx, f)
	if err != nil {
		return fmt.Errorf("import %s: %w", img.Name, err)
	}
	for _, i := range imported {
		if err := client.NewImage(n.Client, i).Unpack(ctx, ""); err != nil {
			return fmt.Errorf("unpack %s: %w", img.Name, err)
		}
	}
	return nil
}

// stop ends containerd and removes what is outside of the namespaces: files and
// cgroups. After a failure containers may be left; they go too.
func (n *node) stop(failed bool) error {
	if n.Client != nil {
		n.Client.Close()
	}
	_ = n.daemon.Process.Signal(syscall.SIGTERM)
	_ = n.daemon.Wait() // "signal: terminated" is what we want
	remove := isolated.RemoveCgroups
	if failed {
		remove = isolated.RemoveEverything
		if log, err := os.ReadFile(filepath.Join(n.dir, "log")); err == nil {
			lines := strings.Split(strings.TrimSpace(string(log)), "\n")
			fmt.Fprintf(os.Stderr, "--- end of containerd's log\n%s\n", strings.Join(lines[max(0, len(lines)-20):], "\n"))
		}
	}
	return errors.Join(remove(n.namespace()), os.RemoveAll(n.dir))
}

// Package bed is what benchmarks of containers stand on: a private containerd, the
// programs that they need, and the machine that they describe.
package bed

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
	ContainerdVersion = "2.4.2"
	RuncVersion       = "1.5.2"
)

// Binaries are directories of programs.
type Binaries struct {
	Containerd, Runc string
	// Shim is that of containerd-shim-wazero-v1.
	Shim string
	// Others have further shims; may be none.
	Others []string
}

// All directories, ours first.
func (b Binaries) All() []string {
	return append(append([]string{b.Shim}, b.Others...), b.Runc, b.Containerd)
}

// Node is a private containerd.
type Node struct {
	*client.Client
	// Dir has everything that it keeps.
	Dir    string
	Bin    Binaries
	daemon *exec.Cmd
}

// Start starts containerd with all shims on its PATH. The process has to be in
// namespaces of its own, by isolated.Run. The caller calls Stop.
func Start(bin Binaries) (n *Node, err error) {
	n = &Node{Bin: bin}
	// Short, because paths of sockets are limited to 107 bytes.
	if n.Dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	if err := n.mountState(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(n.Dir))
	}
	env := []string{"HOME=" + n.Dir, "TMPDIR=" + n.Dir,
		"PATH=" + strings.Join(append(bin.All(), os.Getenv("PATH")), ":")}
	// Nobody measures with a trace of every step in the log.
	config := strings.Replace(isolated.ContainerdConfig(n.Dir), `level = "trace"`, `level = "info"`, 1)
	if n.daemon, err = isolated.StartContainerd(bin.Containerd, n.Dir, config, env); err != nil {
		return nil, errors.Join(err, unmount(n.Dir), os.RemoveAll(n.Dir))
	}
	n.Client, err = client.New(filepath.Join(n.Dir, "c.sock"), client.WithDefaultNamespace(n.Namespace()))
	if err != nil {
		return nil, errors.Join(err, n.Stop(true))
	}
	return n, nil
}

// state is where containerd keeps what a reboot may forget, bundles too.
func (n *Node) state() string { return filepath.Join(n.Dir, "state") }

// mountState makes it a file system in memory, as it is on a node: containerd's default is
// below /run.
func (n *Node) mountState() error {
	if err := os.Mkdir(n.state(), 0o711); err != nil {
		return err
	}
	if err := syscall.Mount("state", n.state(), "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=0711"); err != nil {
		return fmt.Errorf("mount %s: %w", n.state(), err)
	}
	return nil
}

// Namespace of containerd; its cgroups have the same name.
func (n *Node) Namespace() string { return filepath.Base(n.Dir) }

// Context carries the namespace.
func (n *Node) Context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, n.Namespace())
}

// Cache is where our shim keeps its code in warm runs.
func (n *Node) Cache() string { return filepath.Join(n.Dir, "code") }

// Bundle is the directory of a running container.
func (n *Node) Bundle(id string) string {
	return filepath.Join(n.state(), "io.containerd.runtime.v2.task", n.Namespace(), id)
}

// Load makes an image known and unpacks it.
func (n *Node) Load(ctx context.Context, img image.Image) error {
	path := filepath.Join(n.Dir, "image.tar")
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

// Stop ends containerd and removes what is outside of the namespaces: files and
// cgroups. After a failure containers may be left; they go too.
func (n *Node) Stop(failed bool) error {
	if n.Client != nil {
		n.Client.Close()
	}
	_ = n.daemon.Process.Signal(syscall.SIGTERM)
	_ = n.daemon.Wait() // "signal: terminated" is what we want
	remove := isolated.RemoveCgroups
	if failed {
		remove = isolated.RemoveEverything
		if log, err := os.ReadFile(filepath.Join(n.Dir, "log")); err == nil {
			lines := strings.Split(strings.TrimSpace(string(log)), "\n")
			fmt.Fprintf(os.Stderr, "--- end of containerd's log\n%s\n", strings.Join(lines[max(0, len(lines)-20):], "\n"))
		}
	}
	return errors.Join(remove(n.Namespace()), unmount(n.Dir), os.RemoveAll(n.Dir))
}

// unmount lets go of what is mounted below dir, as root file systems of containers that
// could not be removed.
func unmount(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			if err := syscall.Unmount(fields[4], syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
				return fmt.Errorf("unmount %s: %w", fields[4], err)
			}
		}
	}
	return nil
}

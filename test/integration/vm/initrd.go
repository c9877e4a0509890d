package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// guestPackage is the program that becomes the machine's first process.
const guestPackage = "github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm/guest"

// writeInitrd writes the file system that the kernel starts with.
func (m *Machine) writeInitrd(ctx context.Context, path string, orders Orders) error {
	program := filepath.Join(m.Work, "guest")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, guestPackage)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the guest's first process: %w\n%s", err, out)
	}
	init, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	list, err := modules(filepath.Join(m.kernel(), "modules"))
	if err != nil {
		return err
	}
	text, err := json.Marshal(orders)
	if err != nil {
		return err
	}

	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	c := cpio{w: bufio.NewWriter(f)}
	for _, dir := range []string{"dev", "host", "modules", "proc", "root", "sys", "systemd", "writable"} {
		c.add(dir, modeDir|0o755, nil)
	}
	c.add("init", modeFile|0o755, init)
	c.add(OrdersFile, modeFile|0o644, text)
	var names []string
	for _, path := range list {
		module, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := "/modules/" + filepath.Base(path)
		c.add(name, modeFile|0o644, module)
		names = append(names, name)
	}
	c.add(ModulesFile, modeFile|0o644, []byte(strings.Join(names, "\n")))
	if err := c.close(); err != nil {
		return err
	}
	return f.Close()
}

// Types of files in a mode.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
)

// cpio writes an archive in the format "newc", the kernel's own for this.
type cpio struct {
	w     *bufio.Writer
	inode int
	err   error // the first one
}

func (c *cpio) add(name string, mode int, data []byte) {
	name = strings.TrimPrefix(name, "/")
	c.inode++
	const owner, group, links, modified, device, rdevice, checksum = 0, 0, 1, 0, 0, 0, 0
	header := "070701"
	for _, field := range []int{c.inode, mode, owner, group, links, modified, len(data),
		device, device, rdevice, rdevice, len(name) + 1, checksum} {
		header += fmt.Sprintf("%08x", field)
	}
	c.padded([]byte(header + name + "\x00"))
	c.padded(data)
}

// padded writes data and zeros up to a multiple of four.
func (c *cpio) padded(data []byte) {
	for _, part := range [][]byte{data, make([]byte, (4-len(data)%4)%4)} {
		if c.err == nil {
			_, c.err = c.w.Write(part)
		}
	}
}

func (c *cpio) close() error {
	c.add("TRAILER!!!", 0, nil)
	if c.err != nil {
		return c.err
	}
	return c.w.Flush()
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm"
)

// prepare turns the kernel's initial root into one like the host's.
func prepare(orders vm.Orders) error {
	if err := loadModules(); err != nil {
		return err
	}
	if err := mountRoot(orders); err != nil {
		return err
	}
	for _, name := range []string{"proc", "sys", "dev"} {
		if err := unix.Mount("/"+name, "/root/"+name, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move /%s: %w", name, err)
		}
	}
	if err := switchRoot("/root"); err != nil {
		return err
	}
	for _, m := range []struct{ source, fstype, target, data string }{
		{"devpts", "devpts", "/dev/pts", "ptmxmode=0666,mode=0620,gid=5"},
		{"tmpfs", "tmpfs", "/dev/shm", ""},
		{"mqueue", "mqueue", "/dev/mqueue", ""},
		{"tmpfs", "tmpfs", "/run", "mode=0755"},
		{"cgroup2", "cgroup2", "/sys/fs/cgroup", ""},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := mount(m.source, m.fstype, m.target, 0, m.data); err != nil {
			return err
		}
	}
	if orders.SecurityFS && !orders.Systemd {
		return mount("securityfs", "securityfs", "/sys/kernel/security", 0, "")
	}
	return nil
}

func loadModules() error {
	list, err := os.ReadFile(vm.ModulesFile)
	if err != nil {
		return err
	}
	for path := range strings.Lines(string(list)) {
		path = strings.TrimSpace(path)
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
	}
	return nil
}

// mountRoot mounts the host's root below a layer in memory.
func mountRoot(orders vm.Orders) error {
	for _, m := range []struct{ fstype, target, data string }{
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"tmpfs", "/writable", "mode=0755"},
	} {
		if err := mount(m.fstype, m.fstype, m.target, 0, m.data); err != nil {
			return err
		}
	}
	if err := mount9p("host"); err != nil {
		return err
	}
	for _, dir := range []string{"/writable/upper", "/writable/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	lower := "/host"
	if orders.Systemd {
		if err := mount9p("systemd"); err != nil {
			return err
		}
		lower = "/systemd:" + lower
	}
	if err := mount("root", "overlay", "/root", 0, "lowerdir="+lower+",upperdir=/writable/upper,workdir=/writable/work"); err != nil {
		return err
	}
	// containerd's snapshotter makes overlays, too, and there is no overlay on an overlay.
	if err := mount("tmpfs", "tmpfs", "/root/tmp", 0, "mode=1777"); err != nil {
		return err
	}
	for _, dir := range orders.Shared {
		target := filepath.Join("/root", dir)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(filepath.Join("/host", dir), target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("share %s: %w", dir, err)
		}
	}
	return nil
}

// mount9p mounts what the host shares under a name. Its files do not change while
// the guest looks at them.
func mount9p(name string) error {
	return mount(name, "9p", "/"+name, unix.MS_RDONLY, "trans=virtio,version=9p2000.L,cache=loose,msize=1048576")
}

// switchRoot makes dir, a mount, the root of this process and its children.
func switchRoot(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

func mount(source, fstype, target string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// target is what systemd is to reach.
const target = "guest.target"

// becomeSystemd makes this process systemd, which runs this program as a service
// when D-Bus is there.
func becomeSystemd() error {
	const dir = "/etc/systemd/system"
	for name, lines := range map[string][]string{
		target: {"[Unit]", "Requires=guest.service", "AllowIsolate=yes"},
		"guest.service": {"[Unit]", "Requires=dbus.service", "After=dbus.service",
			"[Service]", "ExecStart=" + program, "StandardOutput=tty", "StandardError=tty", "TTYPath=/dev/console",
			// Its tests make cgroups, for processes of theirs and for daemons.
			"Delegate=yes", "TasksMax=infinity", "LimitNOFILE=1048576"},
	} {
		if err := writeFile(filepath.Join(dir, name), strings.Join(lines, "\n")+"\n"); err != nil {
			return err
		}
	}
	// It would empty /tmp, where files of the host are.
	masked := filepath.Join(dir, "systemd-tmpfiles-setup.service")
	if err := os.Symlink("/dev/null", masked); err != nil {
		return err
	}
	if err := addUser("messagebus"); err != nil {
		return err
	}
	const systemd = "/usr/lib/systemd/systemd"
	return fmt.Errorf("become systemd: %w", syscall.Exec(systemd, []string{systemd, "--unit=" + target}, os.Environ()))
}

func writeFile(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}

// addUser adds a system user with a group of its own if there is none. An
// installation does that for D-Bus's.
func addUser(name string) error {
	const id = "499"
	for path, entry := range map[string]string{
		"/etc/passwd": name + ":x:" + id + ":" + id + "::/nonexistent:/usr/sbin/nologin\n",
		"/etc/group":  name + ":x:" + id + ":\n",
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains("\n"+string(text), "\n"+name+":") {
			continue
		}
		if err := os.WriteFile(path, append(text, entry...), 0o644); err != nil {
			return err
		}
	}
	return nil
}

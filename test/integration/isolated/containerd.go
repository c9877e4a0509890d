package isolated

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// answersWithin is the time that a containerd has to come up.
const answersWithin = 30 * time.Second

// StartContainerd starts the containerd of the directory bin with a
// configuration that keeps to dir (see ContainerdConfig), and waits until it
// answers. Its log is dir/log. The caller ends it.
func StartContainerd(bin, dir, config string, env []string) (*exec.Cmd, error) {
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	daemon := exec.Command(filepath.Join(bin, "containerd"), "--config", file)
	daemon.Env = env
	daemon.Stdout, daemon.Stderr = log, log
	// A Ctrl-C in the terminal is for the caller, who still needs it to remove things.
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := daemon.Start(); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	for deadline := time.Now().Add(answersWithin); ; time.Sleep(50 * time.Millisecond) {
		ctr := exec.Command(filepath.Join(bin, "ctr"), "--address", filepath.Join(dir, "c.sock"), "version")
		ctr.Env = env
		out, err := ctr.CombinedOutput()
		if err == nil {
			return daemon, nil
		}
		if time.Now().After(deadline) {
			_ = daemon.Process.Kill()
			_ = daemon.Wait()
			return nil, fmt.Errorf("containerd does not answer: %w: %s", err, out)
		}
	}
}

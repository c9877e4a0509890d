package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Crictl drives the CRI plugin of a daemon, as a kubelet would.
type Crictl struct {
	daemon  *Containerd
	program string
}

// Crictl builds the program if that has not been done yet.
func (c *Containerd) Crictl(t testing.TB) *Crictl {
	t.Helper()
	return &Crictl{c, filepath.Join(Tool(t, "cri-tools", criToolsVersion), "crictl")}
}

// Request writes one for crictl to a file.
func Request(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Command is crictl with arguments, not started yet.
func (c *Crictl) Command(args ...string) *exec.Cmd {
	common := []string{"--config", "/dev/null", "--runtime-endpoint", "unix://" + c.daemon.Address(), "--timeout", (2 * limit).String()}
	cmd := exec.Command(c.program, append(common, args...)...)
	cmd.Env = c.daemon.environ()
	return cmd
}

// Try runs crictl and returns its standard output without the space around it. The
// error has all that it printed.
func (c *Crictl) Try(args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := c.Command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := strings.ReplaceAll(stderr.String(), `\"`, `"`) // it quotes what containerd says
		return stdout.String(), fmt.Errorf("crictl %s: %w: %s%s", strings.Join(args, " "), err, stdout.Bytes(), said)
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Ready waits for the CRI plugin, which comes last when a daemon starts: for a moment
// it says that the server is not initialized yet.
func (c *Crictl) Ready(t testing.TB) {
	t.Helper()
	Eventually(t, "CRI", func() error {
		_, err := c.Try("pods")
		return err
	})
}

// Do is Try for what has to succeed.
func (c *Crictl) Do(t testing.TB, args ...string) string {
	t.Helper()
	out, err := c.Try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

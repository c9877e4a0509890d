package runc

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	gorunc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/stdio"
)

// A process that nobody gets to know must not run on: `runc exec` leaves one behind
// before the shim can fail to take charge of it.
//
// It takes all children of this process, and its descriptors: no other test may run
// at the same time.
func TestProcessThatCannotBeTakenOverIsEnded(t *testing.T) {
	r := reaper.New()
	must(t, r.Run(t.Context()))
	l := New(r, options.Options{})
	for _, tc := range []struct {
		name     string
		terminal bool
		wrong    func(t *testing.T, pid int, pidFile string, tty gorunc.ConsoleSocket)
		want     string
	}{
		{"no descriptor is left for a pidfd", false, noPidfd, "pidfd_open"},
		{"no terminal comes", true, noTerminal, "receive terminal"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			streams, err := stdio.Open(stdio.Config{Terminal: tc.terminal})
			must(t, err)
			defer streams.Close()
			pidFile := filepath.Join(t.TempDir(), "pid")
			cmd := exec.Command("sleep", "60")
			p, err := l.launch(streams, tc.terminal, nil, pidFile, func(_ gorunc.IO, _ []*os.File, tty gorunc.ConsoleSocket) error {
				must(t, cmd.Start())
				tc.wrong(t, cmd.Process.Pid, pidFile, tty)
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v", p, err)
			}
			requireEnd(t, cmd.Process.Pid)
		})
	}
}

// noPidfd lets the launcher read the pid, and then open nothing more.
func noPidfd(t *testing.T, pid int, pidFile string, _ gorunc.ConsoleSocket) {
	t.Helper()
	must(t, unix.Mkfifo(pidFile, 0o600))
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	t.Cleanup(func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) })
	go func() {
		f, err := os.OpenFile(pidFile, os.O_WRONLY, 0) // waits for the launcher
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}); err != nil {
			t.Error(err)
		}
		_, _ = f.WriteString(strconv.Itoa(pid))
	}()
}

// noTerminal hangs up.
func noTerminal(t *testing.T, pid int, pidFile string, tty gorunc.ConsoleSocket) {
	t.Helper()
	must(t, os.WriteFile(pidFile, []byte(strconv.Itoa(pid)), 0o600))
	conn, err := net.Dial("unix", tty.Path())
	must(t, err)
	must(t, conn.Close())
}

func requireEnd(t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		if ctx.Err() != nil {
			_ = unix.Kill(pid, unix.SIGKILL)
			t.Fatal("the process runs on")
		}
		time.Sleep(time.Millisecond)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

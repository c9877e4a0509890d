package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// onThread calls do on a thread of its own, which ends with it.
func onThread(t testing.TB, l *cgroupfs.Layout, do func(*Thread)) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		th, err := newThread(l)
		if err == nil {
			defer th.Close()
			do(th)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func ownCgroups(t testing.TB) string {
	t.Helper()
	own, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	return string(own)
}

// cloned starts a process in the cgroup by a thread.
func cloned(t testing.TB, th *Thread, c *Cgroup) *exec.Cmd {
	cmd := exec.Command("sleep", "60")
	if fd, ok := c.FD(); ok {
		defer fd.Close()
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(fd.Fd())}
	} else {
		t.Log("this kernel cannot clone into a cgroup")
	}
	if err := th.Visit(c, cmd.Start); err != nil {
		t.Error(err)
		return cmd
	}
	return cmd
}

func TestThreadClonesIntoCgroups(t *testing.T) {
	t.Parallel()
	for name, l := range layouts(t) {
		c, _, err := prepare(l, pathFor(t), read(t, `{"pids":{"limit":1},"memory":{"limit":4194304},"cpu":{"cpus":"0"}}`))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Remove() })
		onThread(t, l, func(th *Thread) {
			before := ownCgroups(t)
			cmd := cloned(t, th, c)
			defer func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}()
			checkInside(t, name, c, cmd.Process.Pid)
			if after := ownCgroups(t); after != before {
				t.Errorf("%s: the thread is not at home:\n%s", name, after)
			}
			for _, dir := range c.dirs() {
				if got := cgroupfs.Members(dir); len(got) != 1 || got[0] != cmd.Process.Pid {
					t.Errorf("%s: members of %s are %v", name, dir, got)
				}
			}
			if err := c.Add(cmd.Process.Pid); err != nil {
				t.Error(err)
			}
			if err := c.Limit(); (err == nil) == l.V2 && name == "v2" { // which has no controllers here
				t.Errorf("%s: %v", name, err)
			}
			if dir := l.Dir("pids", c.path); !l.V2 {
				if got, err := cgroupfs.Read(dir, "pids.max"); err != nil || got != "1" {
					t.Errorf("%s: pids.max is %q (%v)", name, got, err)
				}
			}
		})
	}
}

func TestThreadComesHomeFromWhatFails(t *testing.T) {
	t.Parallel()
	l := layouts(t)["this host"]
	c := created(t, l, pathFor(t), `{}`)
	onThread(t, l, func(th *Thread) {
		before := ownCgroups(t)
		failure := errors.New("failure")
		if err := th.Visit(c, func() error { return failure }); !errors.Is(err, failure) || errors.Is(err, ErrLost) {
			t.Error(err)
		}
		if l.V2 {
			return
		}
		if err := c.freezer(frozen); err != nil {
			t.Fatal(err)
		}
		if err := th.Visit(c, func() error { return nil }); err == nil || !strings.Contains(err.Error(), "FROZEN") {
			t.Errorf("into a frozen cgroup: %v", err) // and so would the thread be
		}
		if err := c.freezer(thawed); err != nil {
			t.Fatal(err)
		}
		// One hierarchy cannot be entered.
		dirs := c.dirs()
		if err := os.Remove(dirs[len(dirs)-3]); err != nil {
			t.Fatal(err)
		}
		if err := th.Visit(c, func() error { t.Error("it was done"); return nil }); err == nil {
			t.Error("it went where nothing is")
		}
		if after := ownCgroups(t); after != before {
			t.Errorf("the thread is not at home:\n%s", after)
		}
		// Home is gone: anywhere will do.
		_ = unix.Close(th.home[0])
		th.home[0] = -1
		if err := th.leave(0); err != nil {
			t.Error(err)
		}
	})
}

// While its thread visits, this process is a member of the cgroup.
func TestNobodyKillsItself(t *testing.T) {
	t.Parallel()
	l := layouts(t)["this host"]
	c := created(t, l, pathFor(t), `{}`)
	onThread(t, l, func(th *Thread) {
		if err := th.Visit(c, func() error {
			for _, dir := range c.dirs() {
				cgroupfs.Kill(dir)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// The first move after a while waits for a grace period.
func BenchmarkEntering(b *testing.B) {
	l, err := host()
	if err != nil {
		b.Skip(err)
	}
	for i, how := range []string{"moved", "cloned"} {
		b.Run(how, func(b *testing.B) {
			onThread(b, l, func(th *Thread) {
				for n := 0; b.Loop(); n++ {
					b.StopTimer()
					c, _, err := prepare(l, fmt.Sprintf("/container-bench-%d-%d", os.Getpid(), n), nil)
					if err != nil {
						b.Error(err)
						return
					}
					time.Sleep(50 * time.Millisecond)
					b.StartTimer()
					var cmd *exec.Cmd
					if i == 0 {
						cmd = exec.Command("sleep", "60")
						err = cmd.Start()
					} else {
						cmd = cloned(b, th, c)
					}
					if err == nil {
						err = c.Add(cmd.Process.Pid)
					}
					b.StopTimer()
					if err != nil {
						b.Error(err)
					}
					_ = cmd.Process.Kill()
					_ = cmd.Wait()
					if err := c.Remove(); err != nil {
						b.Error(err)
					}
					b.StartTimer()
				}
			})
		})
	}
}

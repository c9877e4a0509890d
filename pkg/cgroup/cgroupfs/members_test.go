package cgroupfs

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These make this binary a process in the cgroup that the value names: with one thread
// only, or with all but the first thread, which has ended.
const (
	visitorEnv  = "CGROUPFS_TEST_VISITOR"
	headlessEnv = "CGROUPFS_TEST_HEADLESS"
)

// init runs on the first thread.
func init() {
	if dir := os.Getenv(visitorEnv); dir != "" {
		go visit(dir)
		select {}
	}
	if dir := os.Getenv(headlessEnv); dir != "" {
		say(Write(dir, "cgroup.procs", "0"))
		go time.Sleep(time.Minute)
		_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	}
}

// visit moves only the calling thread, which is not the first one.
func visit(dir string) {
	runtime.LockOSThread()
	say(Write(dir, "tasks", strconv.Itoa(unix.Gettid())))
	time.Sleep(time.Minute)
}

func say(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("there")
}

// member starts this binary for a cgroup, and returns what receives when it has ended.
func member(t *testing.T, env, dir string) (pid int, ended <-chan error) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), env+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "there\n" {
		t.Fatalf("a member of %s says %q", dir, line)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	return cmd.Process.Pid, done
}

// A shim whose thread is in a container's cgroup for a moment is listed as a member
// there, and is none.
func TestKillSparesWhoIsThereWithOneThreadOnly(t *testing.T) {
	t.Parallel()
	top := hierarchies(t)[0]
	if _, err := os.Stat(filepath.Join(top, "tasks")); err != nil {
		t.Skip("threads are not moved by themselves on cgroup v2")
	}
	dir := filepath.Join(top, fmt.Sprintf("cgroupfs-test-visitor-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("cannot make a cgroup here: %v", err)
	}
	t.Cleanup(func() { _ = Remove(dir) })
	_, visitorEnded := member(t, visitorEnv, dir)
	headless, headlessEnded := member(t, headlessEnv, dir)
	if got := Members(dir); len(got) != 2 {
		t.Errorf("the members are %v, want two", got)
	}
	for deadline := time.Now().Add(5 * time.Second); !firstThreadEnded(headless); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first thread has not ended")
		}
	}
	Kill(dir)
	select {
	case <-headlessEnded:
	case <-time.After(5 * time.Second):
		t.Error("a member whose first thread had ended was not killed")
	}
	select {
	case err := <-visitorEnded:
		t.Errorf("the visitor was killed: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
}

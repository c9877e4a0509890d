package vm_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm"
)

// outcome is what was heard of a job.
type outcome struct {
	output string
	end    *vm.End

	first, last time.Time // of this machine
}

// boot runs shell scripts in a machine, each as a job with its own text as name.
func boot(t *testing.T, limit time.Duration, scripts ...string) (map[string]outcome, error) {
	t.Helper()
	return bootWith(t, vm.Machine{}, limit, scripts...)
}

// bootWith is boot with a machine that is not the usual one.
func bootWith(t *testing.T, m vm.Machine, limit time.Duration, scripts ...string) (map[string]outcome, error) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to download packages and to share all files")
	}
	if !vm.Supported {
		t.Skip("there is no virtual machine for this architecture")
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m.Dir, m.Work = testenv.Tool(t, "qemu", testenv.QEMUVersion), t.TempDir()
	var jobs []vm.Job
	for _, s := range scripts {
		jobs = append(jobs, vm.Job{Name: s, Dir: "/", Args: []string{"/bin/sh", "-c", s}, Env: []string{"PATH=/usr/bin:/bin"}})
	}
	heard := make(map[string]outcome)
	err := m.Run(ctx, jobs, func(m vm.Message) {
		o := heard[m.Job]
		if o.first.IsZero() {
			o.first = time.Now()
		}
		o.last = time.Now()
		o.output += string(m.Output)
		o.end = m.Ended
		heard[m.Job] = o
	})
	return heard, err
}

func TestJobsOutputAndEnd(t *testing.T) {
	const (
		fails   = "echo out; echo err >&2; exit 3"
		killed  = "kill -9 $$"
		cgroups = "cat /sys/fs/cgroup/cgroup.controllers"
		writes  = "echo changed > /etc/hostname; cat /etc/hostname; exit 4"
	)
	host, err := os.ReadFile("/etc/hostname")
	if err != nil {
		t.Fatal(err)
	}
	heard, err := boot(t, 10*time.Minute, fails, killed, cgroups, writes)
	if err != nil {
		t.Fatal(err)
	}
	if o := heard[fails]; o.output != "out\nerr\n" || o.end == nil || *o.end != (vm.End{Status: 3}) {
		t.Errorf("a job that fails: %+v", o)
	}
	if o := heard[killed]; o.end == nil || o.end.Status == 0 || o.end.Problem != "signal: killed" {
		t.Errorf("a job that is killed: %+v", o)
	}
	if o := heard[cgroups]; !strings.Contains(o.output, "cpu io memory") {
		t.Errorf("controllers: %+v", o)
	}
	if o := heard[writes]; !strings.HasPrefix(o.output, "changed\n") || o.end == nil || o.end.Status != 4 {
		t.Errorf("a job that writes: %+v", o)
	}
	if now, err := os.ReadFile("/etc/hostname"); err != nil || string(now) != string(host) {
		t.Errorf("the host's file is %q (%v)", now, err)
	}
}

// TestSecondsAreNotShort: limits of tests would be over too early. They may be long
// here, where there is something else to do.
func TestSecondsAreNotShort(t *testing.T) {
	const script = "echo begin; sleep 10; cat /sys/devices/system/clocksource/clocksource0/current_clocksource"
	heard, err := boot(t, 10*time.Minute, script)
	if err != nil {
		t.Fatal(err)
	}
	o := heard[script]
	took := o.last.Sub(o.first)
	t.Logf("ten seconds took %s: %s", took, o.output)
	if took < 9500*time.Millisecond || o.output != "begin\nhpet\n" {
		t.Errorf("ten seconds took %s: %s", took, o.output)
	}
}

func TestMachineThatCrashesShowsItsConsole(t *testing.T) {
	heard, err := boot(t, 10*time.Minute, "echo c > /proc/sysrq-trigger", "true")
	if err == nil || !strings.Contains(err.Error(), "2 of 2 jobs to do") || !strings.Contains(err.Error(), "Kernel panic") {
		t.Errorf("%v, %v", heard, err)
	}
}

func TestMachineThatHangsEnds(t *testing.T) {
	begin := time.Now()
	heard, err := boot(t, 20*time.Second, "sleep 1000")
	if err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("%v, %v", heard, err)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("it took %s", took)
	}
}

// TestOtherKernel is about a kernel with other modules, and about securityfs.
func TestOtherKernel(t *testing.T) {
	const script = "uname -r; cat /sys/module/apparmor/parameters/enabled; tr , '\\n' < /sys/kernel/security/lsm"
	other := vm.Machine{Kernel: testenv.Tool(t, "kernel", vm.NewerKernel), SecurityFS: true}
	heard, err := bootWith(t, other, 10*time.Minute, script)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(heard[script].output)
	if len(lines) < 3 || lines[1] != "Y" || !slices.Contains(lines, "apparmor") {
		t.Fatalf("%+v", heard[script])
	}
	if o, err := boot(t, 10*time.Minute, "uname -r"); err != nil || strings.TrimSpace(o["uname -r"].output) == lines[0] {
		t.Errorf("%s is the usual kernel: %+v, %v", lines[0], o, err)
	}
}

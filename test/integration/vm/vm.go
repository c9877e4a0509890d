// Package vm boots a virtual machine that has this machine's files and a Debian
// kernel with nothing but cgroup v2, and runs programs in it. QEMU emulates it,
// so it is about ten times slower than this machine, and needs no /dev/kvm.
//
//	vm.go       start the machine, run programs, see how they end
//	initrd.go   what the kernel starts: the program in guest/, and modules
//	modules.go  which modules that takes
//
// The guest reads the host's root over 9p. What it writes stays in its memory.
package vm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Machine says what to boot.
type Machine struct {
	// Dir is the directory of test/tools' qemu.
	Dir string
	// Kernel is a directory with another kernel, of the same form (vmlinuz,
	// modules); empty for that in Dir.
	Kernel string
	// Work is an empty directory for the initrd and the console's log.
	Work string
	// Shared are directories of this machine below /tmp that the guest is to
	// see; the rest of its /tmp is empty.
	Shared []string
	// Systemd runs the jobs under systemd, as a service of it.
	Systemd bool
	// SecurityFS is mounted in /sys/kernel/security, where programs look for
	// security modules. Systemd mounts it always.
	SecurityFS bool
}

// Job is a program that the guest runs. Its path and its directory are those of
// the host.
type Job struct {
	Name string
	Dir  string
	Args []string
	Env  []string
}

// Orders are what the guest finds in its initrd.
type Orders struct {
	Jobs       []Job
	Shared     []string
	Systemd    bool
	SecurityFS bool
}

// Message is what the guest says about a job: output, or its end.
type Message struct {
	Job    string
	Output []byte
	// Ended is set when the job has ended.
	Ended *End
}

// End of a job.
type End struct {
	Status int
	// Problem says why it has no status of its own.
	Problem string
}

// Files and the device by which guest and host speak. The guest sees the first
// two in its initrd.
const (
	OrdersFile  = "/orders.json"
	ModulesFile = "/modules.list"
	Port        = "/dev/vport0p1"
)

// NewerKernel is the version of test/tools' kernel, a directory for Machine.Kernel.
const NewerKernel = "debian12-backports"

const memory = "4G"

// clock makes the kernel keep time by a device that QEMU derives from this
// machine's clock. By default it counts cycles, after it has measured how many
// there are in a second: in a machine that is not running all the time it sees too
// few, and its seconds are too short from then on.
//
// Nor does it check whether timers interrupt: where the host is busy they come too
// late, and it would panic.
const clock = "clocksource=hpet tsc=unstable nolapic_timer no_timer_check"

// Supported tells whether there is a machine for this one.
const Supported = runtime.GOARCH == "amd64"

// Run boots the machine, runs the jobs one after the other and tells what they
// say. It returns when the machine is off; the error is about the machine.
func (m *Machine) Run(ctx context.Context, jobs []Job, tell func(Message)) error {
	initrd := filepath.Join(m.Work, "initrd")
	if err := m.writeInitrd(ctx, initrd, Orders{jobs, m.Shared, m.Systemd, m.SecurityFS}); err != nil {
		return fmt.Errorf("make the initrd: %w", err)
	}
	console := filepath.Join(m.Work, "console")
	cmd := m.command(ctx, initrd, console)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	// The kernel ends the machine with the thread that has started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start QEMU: %w", err)
	}
	left, err := listen(stdout, len(jobs), tell)
	err = errors.Join(err, ctx.Err(), cmd.Wait())
	if err == nil && left == 0 {
		return nil
	}
	if err == nil {
		err = errors.New("it went off")
	}
	return fmt.Errorf("the guest ended with %d of %d jobs to do: %w\n%s--- end of its console\n%s",
		left, len(jobs), err, stderr.Bytes(), tail(console))
}

// kernel is the directory of the kernel and its modules.
func (m *Machine) kernel() string { return cmp.Or(m.Kernel, m.Dir) }

func (m *Machine) command(ctx context.Context, initrd, console string) *exec.Cmd {
	root := filepath.Join(m.Dir, "qemu")
	lib := filepath.Join(root, "usr", "lib", "x86_64-linux-gnu")
	args := []string{"-n", "5",
		// Its own loader and libraries: this machine's may be older.
		filepath.Join(root, "lib64", "ld-linux-x86-64.so.2"), "--library-path", lib,
		filepath.Join(root, "usr", "bin", "qemu-system-x86_64"),
		"-L", filepath.Join(root, "usr", "share", "qemu"), "-L", filepath.Join(root, "usr", "share", "seabios"),
		"-accel", "tcg,thread=single", "-smp", "1", "-cpu", "max", "-M", "q35", "-m", memory,
		"-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
		"-serial", "file:" + console,
		"-chardev", "file,id=port,path=/dev/stdout", "-device", "virtio-serial", "-device", "virtserialport,chardev=port",
		"-virtfs", share("/", "host"),
		"-kernel", filepath.Join(m.kernel(), "vmlinuz"), "-initrd", initrd,
		"-append", "console=ttyS0 panic=-1 quiet mitigations=off " + clock,
	}
	if m.Systemd {
		args = append(args, "-virtfs", share(filepath.Join(m.Dir, "systemd"), "systemd"))
	}
	cmd := exec.CommandContext(ctx, "nice", args...)
	cmd.Env = append(os.Environ(), "QEMU_MODULE_DIR="+filepath.Join(lib, "qemu"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// share is QEMU's option for a directory that the guest can mount under a name.
func share(dir, name string) string {
	return "local,path=" + dir + ",mount_tag=" + name + ",security_model=none,readonly=on,multidevs=remap"
}

// listen passes messages on until the guest is off, and counts the jobs of which
// it has not heard the end.
func listen(r io.Reader, jobs int, tell func(Message)) (left int, err error) {
	left = jobs
	for d := json.NewDecoder(r); ; {
		var m Message
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return left, nil
		} else if err != nil {
			_, _ = io.Copy(io.Discard, r)
			return left, fmt.Errorf("not a message: %w", err)
		}
		if m.Ended != nil {
			left--
		}
		tell(m)
	}
}

// tail is the end of the console's log.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const lines = 80 // a panic of the kernel takes fifty
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Command guest is the first process of a virtual machine of package vm: it
// mounts the host's files under a layer that can be written to, runs what it is
// told to, says how that ended, and switches the machine off.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm"
)

// Where this program and its orders are in the guest's final root.
const (
	program    = "/run/guest"
	ordersFile = "/run/orders.json"
)

func main() {
	var err error
	if os.Getpid() == 1 {
		err = first()
	} else {
		err = work()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err) // the console
	}
	unix.Sync()
	err = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Fprintln(os.Stderr, "guest: power off:", err)
}

// first is the machine's first process, which prepares everything and reaps, or
// becomes systemd.
func first() error {
	if err := mount("proc", "proc", "/proc", 0, ""); err != nil {
		return err
	}
	text, err := os.ReadFile(vm.OrdersFile)
	if err != nil {
		return err
	}
	var orders vm.Orders
	if err := json.Unmarshal(text, &orders); err != nil {
		return err
	}
	self, err := os.ReadFile("/init")
	if err != nil {
		return err
	}
	if err := prepare(orders); err != nil {
		return err
	}
	if err := os.WriteFile(program, self, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(ordersFile, text, 0o600); err != nil {
		return err
	}
	if orders.Systemd {
		return becomeSystemd()
	}
	cmd := exec.Command(program)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid == cmd.Process.Pid {
			return err
		}
	}
}

// work runs the jobs.
func work() error {
	text, err := os.ReadFile(ordersFile)
	if err != nil {
		return err
	}
	var orders vm.Orders
	if err := json.Unmarshal(text, &orders); err != nil {
		return err
	}
	port, err := os.OpenFile(vm.Port, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open the port to the host: %w", err)
	}
	say := json.NewEncoder(port)
	for _, job := range orders.Jobs {
		end := run(job, &speaker{say, job.Name})
		if err := say.Encode(vm.Message{Job: job.Name, Ended: &end}); err != nil {
			return fmt.Errorf("tell the host: %w", err)
		}
	}
	return nil
}

func run(job vm.Job, out *speaker) vm.End {
	cmd := exec.Command(job.Args[0], job.Args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = job.Dir, job.Env, out, out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return vm.End{}
	case errors.As(err, &exit) && exit.Exited():
		return vm.End{Status: exit.ExitCode()}
	default:
		return vm.End{Status: 1, Problem: err.Error()}
	}
}

// speaker makes messages of output.
type speaker struct {
	say *json.Encoder
	job string
}

func (s *speaker) Write(p []byte) (int, error) {
	if err := s.say.Encode(vm.Message{Job: s.job, Output: p}); err != nil {
		return 0, err
	}
	return len(p), nil
}

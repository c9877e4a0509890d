// Package play plays the shim for a runner outside of any container: a module runs
// as it does in one, with the same host functions and the same confinement, on the
// files of this machine.
package play

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// Guest is a module and what it runs with.
type Guest struct {
	// Binary is the path of the shim, of which the runner is a part.
	Binary string
	// Path is the module's.
	Path string
	Job  job.Job
	// Stdio are the guest's.
	Stdio [3]*os.File
}

// Run waits for the guest's end and returns its exit status, 128 and its number
// after a signal. The end of ctx ends the guest, too. A module that the runner
// refuses is an error.
func (g *Guest) Run(ctx context.Context) (int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer ours.Close()
	defer theirs.Close()
	cmd, err := g.command(ctx, theirs)
	if err != nil {
		return 0, err
	}
	err = cmd.Start()
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	if err != nil {
		return 0, err
	}
	control := job.NewControl(ours)
	err = errors.Join(control.Send(job.NoCode, nil), control.Send(job.Go, nil))
	if err == nil {
		err = ready(control)
	}
	ended := cmd.Wait()
	if err != nil {
		return 0, err
	}
	status, err := statusOf(ended)
	if err != nil {
		return 0, err
	}
	return status, ctx.Err()
}

func (g *Guest) command(ctx context.Context, control *os.File) (*exec.Cmd, error) {
	binary, err := os.Open(g.Binary)
	if err != nil {
		return nil, err
	}
	module, err := os.Open(g.Path)
	if err != nil {
		return nil, err
	}
	described, err := memfd(&g.Job)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, job.ExecPath)
	cmd.Env = []string{job.RoleEnv + "=" + job.RoleRunner, job.OneThread}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = g.Stdio[0], g.Stdio[1], g.Stdio[2]
	cmd.ExtraFiles = []*os.File{binary, control, described, module}
	return cmd, nil
}

// memfd is a job as a runner reads it.
func memfd(j *job.Job) (*os.File, error) {
	data, err := j.Encode()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("job", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "job")
	if _, err := file.WriteAt(data, 0); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// ready waits for the report before the guest's first instruction.
func ready(control *job.Control) error {
	report, err := control.ReadReport()
	if err != nil {
		return fmt.Errorf("the runner ended early: %w", err)
	}
	if report.Kind != job.Ready {
		return fmt.Errorf("the runner has refused the module: %s", report.Message)
	}
	return nil
}

func statusOf(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 0, err
	}
	ws := exit.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return ws.ExitStatus(), nil
}

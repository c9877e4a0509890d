package holder

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/inherited"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// RoleMidwife is the role of a process that starts a holder inside a user
// namespace and ends. It has descriptor 0, 3 and 4 of a holder for it, and
const (
	RoleMidwife = "holder-midwife"

	fdMidwifeReport = 6 // the holder's FDReport
	fdMidwifeLast   = 7
)

// Midwife is the role. It says the holder's pid on standard output, or why there
// is none.
func Midwife() int {
	cmd, err := deliver()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(cmd.Process.Pid)
	return 0
}

func deliver() (*exec.Cmd, error) {
	if err := inherited.Close(fdMidwifeLast); err != nil {
		return nil, err
	}
	flags, err := strconv.Atoi(os.Args[len(os.Args)-1])
	if err != nil {
		return nil, err
	}
	// Nobody in the user namespace may look into this process meanwhile.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl", err)
	}
	cmd := exec.Command(job.ExecPath)
	cmd.Args = []string{job.ExecPath, Title}
	cmd.Env = append(os.Environ(), job.RoleEnv+"="+Role)
	cmd.Dir = "/"
	cmd.Stdin = os.Stdin
	cmd.ExtraFiles = []*os.File{
		os.NewFile(FDBinary, "binary"), os.NewFile(FDJob, "job"), os.NewFile(fdMidwifeReport, "report"),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: uintptr(flags)}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("clone: %w", err)
	}
	return cmd, nil
}

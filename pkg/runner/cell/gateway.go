package cell

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
)

// LockGateway is Lock for a process that answers requests itself, at listeners that it
// has: its guests have pipes to it, and can do with sockets what s says.
func LockGateway(s Sockets, profile string) error {
	return lock(s, profile, GatewayPolicy(os.Getpid(), s))
}

// GatewayPolicy is Policy for such a process. No more can be done to files than there,
// and no connection be made: what comes in can be accepted.
func GatewayPolicy(pid int, s Sockets) *seccomp.Policy {
	p := Policy(pid, s)
	p.Allow(unix.SYS_EPOLL_CTL)
	p.Allow(unix.SYS_PIPE2, seccomp.Equal32(1, unix.O_CLOEXEC))
	// It ends the process if a guest keeps everything else from running.
	p.Allow(unix.SYS_SETITIMER, seccomp.Equal32(0, uint32(unix.ITIMER_REAL)))
	if s < ServeSockets {
		p.Allow(unix.SYS_ACCEPT4, seccomp.Only(3, newSocketFlags))
		p.Allow(unix.SYS_SHUTDOWN)
	}
	if s < AskSockets {
		p.Allow(unix.SYS_GETSOCKNAME)
		// It resets connections of clients that would take an answer for complete. All that
		// can be had by it is a connection that is closed sooner or later.
		p.Allow(unix.SYS_SETSOCKOPT, seccomp.Equal32(1, unix.SOL_SOCKET), seccomp.Equal32(2, unix.SO_LINGER))
	}
	return p
}

package preview1

import (
	"golang.org/x/sys/unix"

	"github.com/tetratelabs/wazero/sys"
)

const procExit = "proc_exit"

var procFunctions = []function{
	{procExit, "i", procExitCall},
	{"proc_raise", "i", procRaise},
}

// procExitCall ends the instance: (rval). It does not return.
func procExitCall(_ *System, _ memory, a arguments) Errno { panic(sys.NewExitError(a.u32(0))) }

// Raised is what a call panics with when its guest has raised a signal whose default
// is to end the process.
type Raised struct{ Signal unix.Signal }

func (r *Raised) Error() string { return "the guest raised " + unix.SignalName(r.Signal) }

// signals are Linux's by the specification's numbers.
var signals = [...]unix.Signal{
	0, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGKILL,
	unix.SIGUSR1, unix.SIGSEGV, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGTERM, unix.SIGCHLD, unix.SIGCONT, unix.SIGSTOP,
	unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGPROF, unix.SIGWINCH,
	unix.SIGIO, unix.SIGPWR, unix.SIGSYS,
}

// procRaise does what Linux does by default for a signal: (sig). Guests have no
// handlers. EINVAL for what is no signal, ENOTSUP for those that would stop.
func procRaise(_ *System, _ memory, a arguments) Errno {
	n := a.u32(0)
	if uint64(n) >= uint64(len(signals)) {
		return EINVAL
	}
	switch sig := signals[n]; sig {
	case 0, unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH:
		return ESUCCESS
	case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		return ENOTSUP
	default:
		panic(&Raised{sig})
	}
}

package wasmedge

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// TestSocketInTheRoomOfWhatIsRemembered is not parallel: the limit is the process's.
func TestSocketInTheRoomOfWhatIsRemembered(t *testing.T) {
	root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	r := newRig(t, 1, preview1.Config{Preopens: []preview1.Preopen{{FD: root, Name: "/"}}})
	const path = "usr/bin/."
	r.ok("path_filestat_get", 3, 0, r.put([]byte(path)), uint64(len(path)), r.room(64))
	at := r.room(4)
	next, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Close(next))
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(next), Max: old.Max}))
	e := r.call("sock_open", familyInet4, typeStream, at)
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	if e != preview1.ESUCCESS {
		t.Errorf("errno %d", e)
	}
}

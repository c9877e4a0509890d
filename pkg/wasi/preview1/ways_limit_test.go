package preview1

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// full makes a call when the process has all descriptors open that it may.
func full(t testing.TB, call func()) {
	t.Helper()
	next, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Close(next))
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(next), Max: old.Max}))
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old)) }()
	call()
}

// The tests here are not parallel: the limit is the process's.

func TestWaysLeaveDescriptorsToTheGuest(t *testing.T) {
	root := Preopen{FD: openDirectory(t, "/"), Name: "/"}
	sockets := newSocketRig(t, 0)
	must(t, sockets.system.Add(root))
	const slash = listener + 1
	dialUnix(t, sockets.path)
	out := sockets.room(4)
	open := func(path string) func() Errno {
		return func() Errno {
			_, e := sockets.tryOpen(asked{fd: slash, path: path, base: FDRead})
			return e
		}
	}
	for name, call := range map[string]func() Errno{
		"open":      open("etc"),
		"walk":      open("etc/passwd"),
		"accept":    func() Errno { return sockets.call("sock_accept", listener, 0, out) },
		"duplicate": func() Errno { return errnoOf(duplicate(sockets.system)) },
	} {
		t.Run(name, func(t *testing.T) {
			at, size := sockets.rig.path("usr/bin/.")
			sockets.expect(ESUCCESS, "path_filestat_get", slash, 0, at, size, sockets.room(64))
			full(t, func() {
				if e := call(); e != ESUCCESS {
					t.Errorf("errno %d while others are remembered", e)
				}
			})
			sockets.system.ways.clear()
			full(t, func() {
				if e := call(); e != EMFILE {
					t.Errorf("errno %d while nothing is", e)
				}
			})
		})
	}
}

func duplicate(s *System) error {
	d, e := s.openOwn(0, opening{base: FDRead})
	if e != ESUCCESS {
		return unix.EMFILE
	}
	d.close()
	return nil
}

func TestWaysDoNotUseUpTheLimit(t *testing.T) {
	var files []string
	for i := range 2 * len(ways{}.known) {
		files = append(files, fmt.Sprintf("%d/1/2/3/4/5/6/7/8/9/10/11/12/13/file", i))
	}
	g := newTree(t, files...)
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old)) }()
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(openDescriptors(t) + 30), Max: old.Max}))
	for range 3 {
		for _, path := range files {
			if _, e := g.stat(path, 0); e != ESUCCESS {
				t.Errorf("%s: errno %d", path, e)
			}
		}
	}
}

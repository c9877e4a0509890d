package listen

import (
	"errors"
	"fmt"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// lockPatience is for how long others may be about a socket in the same directory. Who
// takes longer has something else in mind, and is not waited for.
const lockPatience = time.Second

func (s Socket) openUnix() (_ int, err error) {
	fd, err := s.socket(unix.AF_UNIX, unix.SOCK_STREAM)
	if err != nil {
		return -1, err
	}
	defer closeOnError(fd, &err)
	defer lock(path.Dir(s.Address))()
	address := &unix.SockaddrUnix{Name: s.Address}
	err = unix.Bind(fd, address)
	if errors.Is(err, unix.EADDRINUSE) && abandoned(address) {
		if err = unix.Unlink(s.Address); err == nil || errors.Is(err, unix.ENOENT) {
			err = unix.Bind(fd, address)
		}
	}
	if err != nil {
		return -1, fmt.Errorf("bind: %w", err)
	}
	return fd, listenAt(fd)
}

// abandoned tells that nobody listens at a unix socket. Nobody does at other files
// either, but they are not abandoned.
func abandoned(address *unix.SockaddrUnix) bool {
	var st unix.Stat_t
	if unix.Lstat(address.Name, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return errors.Is(unix.Connect(fd, address), unix.ECONNREFUSED)
}

// lock keeps others from taking a socket that is bound, and does not listen yet, for one
// that nobody listens at any more. It is as good as can be: the directory may be one that
// the process must not read.
func lock(dir string) (unlock func()) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}
	}
	for begin := time.Now(); time.Since(begin) < lockPatience; time.Sleep(time.Millisecond) {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil || !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
	}
	return func() { unix.Close(fd) }
}

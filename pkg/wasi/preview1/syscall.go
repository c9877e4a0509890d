package preview1

import "golang.org/x/sys/unix"

// retry repeats a system call that a signal has interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// closeFD closes a descriptor of the host. As Linux does, it is gone even if there
// is an error.
func closeFD(fd int) error { return unix.Close(fd) }

func openat(dir int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func readlinkat(dir int, name string, buffer []byte) (int, error) {
	for {
		n, err := unix.Readlinkat(dir, name, buffer)
		if err != unix.EINTR {
			return n, err
		}
	}
}

func fstat(fd int, st *unix.Stat_t) error {
	for {
		if err := unix.Fstat(fd, st); err != unix.EINTR {
			return err
		}
	}
}

func fstatat(dir int, name string, st *unix.Stat_t, flags int) error {
	for {
		if err := unix.Fstatat(dir, name, st, flags); err != unix.EINTR {
			return err
		}
	}
}

func getdents(fd int, buffer []byte) (int, error) {
	for {
		n, err := unix.Getdents(fd, buffer)
		if err != unix.EINTR {
			return n, err
		}
	}
}

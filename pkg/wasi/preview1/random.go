package preview1

import (
	"errors"

	"golang.org/x/sys/unix"
)

var randomFunctions = []function{{"random_get", "ii", randomGet}}

// randomGet fills memory with random bytes of the kernel: (buf, buf_len). EFAULT.
func randomGet(_ *System, m memory, a arguments) Errno {
	buffer, ok := m.bytes(a.u32(0), a.u32(1))
	if !ok {
		return EFAULT
	}
	for len(buffer) > 0 {
		n, err := unix.Getrandom(buffer, 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return errnoOf(err)
		}
		buffer = buffer[max(n, 0):]
	}
	return ESUCCESS
}

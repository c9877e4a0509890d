package preview1

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDatagramsInTooManyBuffers: a datagram is sent whole or not at all, and one that is
// received is not cut without a word. Of a stream, a part is done.
func TestDatagramsInTooManyBuffers(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, unix.SOCK_NONBLOCK)
	n := r.room(4)
	full := slices.Repeat([]int{1}, maxVectors)
	got := make([]byte, 2*maxVectors)
	for name, sizes := range map[string][]int{
		"as many as may be":     full,
		"empty ones behind":     append(slices.Clone(full), 0, 0),
		"empty ones in between": slices.Insert(slices.Clone(full), 7, 0, 0, 0),
	} {
		at, _ := r.vectors(sizes...)
		for _, send := range []string{"sock_send", "fd_write"} {
			r.expect(ESUCCESS, send, sendArguments(send, datagram, at, len(sizes), n)...)
			if size, err := unix.Read(r.packetOut, got); size != maxVectors || r.u32(n) != maxVectors {
				t.Errorf("%s, %s: %d bytes, a datagram of %d (%v)", name, send, r.u32(n), size, err)
			}
		}
	}
	for name, sizes := range map[string][]int{
		"one more":              append(slices.Clone(full), 1),
		"one more behind empty": append(slices.Clone(full), 0, 0, 100),
		"many more":             append(slices.Clone(full), full...),
	} {
		at, _ := r.vectors(sizes...)
		for _, send := range []string{"sock_send", "fd_write"} {
			r.expect(EMSGSIZE, send, sendArguments(send, datagram, at, len(sizes), n)...)
			if size, err := unix.Read(r.packetOut, got); err != unix.EAGAIN {
				t.Errorf("%s, %s: there was a datagram of %d bytes (%v)", name, send, size, err)
			}
			r.expect(ESUCCESS, send, sendArguments(send, stream, at, len(sizes), n)...)
			if size, err := unix.Read(r.streamOut, got); size != maxVectors || r.u32(n) != maxVectors {
				t.Errorf("%s, %s: %d bytes of a stream, of which %d came (%v)", name, send, r.u32(n), size, err)
			}
		}
		_, err := unix.Write(r.packetOut, got[:maxVectors+1])
		must(t, err)
		r.expect(EMSGSIZE, "fd_read", datagram, at, uint64(len(sizes)), n)
		if size, err := unix.Read(r.system.files.slots[datagram].fd, got); size != maxVectors+1 {
			t.Errorf("%s: fd_read has left %d bytes (%v)", name, size, err)
		}
	}
}

// TestLinuxOnDatagramsInTooManyBuffers is where the error is from.
func TestLinuxOnDatagramsInTooManyBuffers(t *testing.T) {
	t.Parallel()
	fds := pair(t, unix.SOCK_DGRAM)
	defer unix.Close(fds[0])
	if _, err := unix.SendmsgBuffers(fds[0], slices.Repeat([][]byte{{1}}, maxVectors+1), nil, nil, 0); err != unix.EMSGSIZE {
		t.Errorf("sendmsg(2) says %v", err)
	}
}

// sendArguments are those of sock_send or fd_write.
func sendArguments(name string, fd int, at uint64, count int, n uint64) []uint64 {
	if name == "sock_send" {
		return []uint64{uint64(fd), at, uint64(count), 0, n}
	}
	return []uint64{uint64(fd), at, uint64(count), n}
}

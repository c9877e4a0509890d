package preview1

import "encoding/binary"

// message is vectors for what a socket sends or receives. A datagram in more buffers than
// one call takes would be cut: EMSGSIZE, as sendmsg(2) has it.
func (s *System) message(d *descriptor, m memory, at, count uint32) ([][]byte, Errno) {
	buffers, e := s.vectors(m, at, count)
	if e == ESUCCESS && d.kind == SocketDgram && len(buffers) == maxVectors && m.tooMany(at, count) {
		return nil, EMSGSIZE
	}
	return buffers, e
}

// tooMany tells that an array of iovecs, which is in memory, names more buffers than
// vectors takes. As there, empty ones are none.
func (m memory) tooMany(at, count uint32) bool {
	const size = 8 // pointer, length
	array, _ := m.table(at, count, size)
	named := 0
	for ; len(array) > 0 && named <= maxVectors; array = array[size:] {
		if binary.LittleEndian.Uint32(array[4:]) != 0 {
			named++
		}
	}
	return named > maxVectors
}

// Message is Vectors for what a socket sends: EMSGSIZE for a datagram in more buffers than
// are taken.
func (c Call) Message(s Socket, at, count uint32) ([][]byte, Errno) {
	return c.system.message(s.d, c.memory, at, count)
}

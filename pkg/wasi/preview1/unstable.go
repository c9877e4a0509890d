package preview1

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/unix"
)

// UnstableName is the name under which guests import what preview 1 was before it
// had that name ("snapshot 0"). Rust had it until 1.40, AssemblyScript until 0.9.
//
// It is the same but for what is in this file, see
// https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview0/docs.md
const UnstableName = "wasi_unstable"

// ExportUnstable adds those functions to a host module that are wanted, by their
// names.
func ExportUnstable(b wazero.HostModuleBuilder, wanted func(name string) bool) {
	for _, f := range unstableFunctions() {
		if wanted(f.name) {
			f.export(b)
		}
	}
}

func unstableFunctions() []function {
	different := map[string]func(*System, memory, arguments) Errno{
		"fd_seek": unstableSeek, "poll_oneoff": unstablePoll,
		"fd_filestat_get": withUnstableFilestat(fdFilestatGet), "path_filestat_get": withUnstableFilestat(pathFilestatGet),
	}
	all := slices.DeleteFunc(functions(), func(f function) bool { return f.name == "sock_accept" })
	for i, f := range all {
		if call, ok := different[f.name]; ok {
			all[i].call = call
		}
	}
	return all
}

// unstableWhences are preview 1's whences by their older numbers.
var unstableWhences = [...]uint64{whenceCur, whenceEnd, whenceSet}

// unstableSeek is fdSeek with other numbers of whence.
func unstableSeek(s *System, m memory, a arguments) Errno {
	whence := a.u32(2)
	if uint64(whence) >= uint64(len(unstableWhences)) {
		return EINVAL
	}
	a[2] = unstableWhences[whence]
	return fdSeek(s, m, a)
}

// unstableFilestatSize is that of attributes with 32 bits for the number of links.
const unstableFilestatSize = 56

// withUnstableFilestat lets a function write attributes in the older layout.
func withUnstableFilestat(call func(*System, memory, arguments) Errno) func(*System, memory, arguments) Errno {
	return func(s *System, m memory, a arguments) Errno {
		m.unstable = true
		return call(s, m, a)
	}
}

// unstableFilestat is filestat in the older layout.
func (m memory) unstableFilestat(at uint32, st *unix.Stat_t, kind Filetype) Errno {
	to, ok := m.Read(at, unstableFilestatSize)
	if !ok {
		return EFAULT
	}
	binary.LittleEndian.PutUint64(to, st.Dev)
	binary.LittleEndian.PutUint64(to[8:], st.Ino)
	binary.LittleEndian.PutUint32(to[16:], uint32(kind))
	binary.LittleEndian.PutUint32(to[20:], uint32(min(st.Nlink, math.MaxUint32)))
	binary.LittleEndian.PutUint64(to[24:], uint64(st.Size))
	putTimes(to[32:], st)
	return ESUCCESS
}

// unstableSubscriptionSize is that of a subscription whose clock has an identifier
// before its number. Nothing was ever made of it.
const unstableSubscriptionSize = subscriptionSize + 8

// unstablePoll is pollOneoff with larger subscriptions.
func unstablePoll(s *System, m memory, a arguments) Errno {
	return s.poll(m, a, unstableSubscriptionSize, func(in []byte) []byte {
		newer := make([]byte, 0, len(in))
		for ; len(in) > 0; in = in[unstableSubscriptionSize:] {
			const union, clock = 16, 24
			newer = append(newer, in[:union]...)
			if subscription(in).kind() == eventClock {
				newer = append(newer, in[clock:unstableSubscriptionSize]...)
			} else {
				newer = append(newer, in[union:subscriptionSize]...)
			}
		}
		return newer
	})
}

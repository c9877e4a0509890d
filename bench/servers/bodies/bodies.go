// Package bodies is what the server answers, for itself and for those who check it.
package bodies

import "bytes"

// Paths of what the server has.
const (
	Small = "/small"
	Large = "/large"
)

// All bodies by path: a line, and 64 KiB of which no two lines are the same.
func All() map[string][]byte {
	var large bytes.Buffer
	for i := 0; large.Len() < 64<<10; i++ {
		for shift := 28; shift >= 0; shift -= 4 {
			large.WriteByte("0123456789abcdef"[i>>shift&15])
		}
		large.WriteString(" lines\n ")
	}
	return map[string][]byte{Small: []byte("hello, world\n"), Large: large.Bytes()}
}

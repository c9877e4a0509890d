package cgroup

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

// pressure encodes how long members have waited for something (psi.rst in the
// kernel's documentation): "some" of them, or all, which is "full". It is false where
// the kernel does not measure that.
func (r *reader) pressure(file string) ([]byte, bool) {
	text, ok := r.text(file)
	if errors.Is(r.err, unix.EOPNOTSUPP) { // it can, but does not: psi=0
		r.err = nil
	}
	var message []byte
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		for i, who := range []string{"some", "full"} {
			if words[0] == who {
				message = protofields.AppendString(message, protofields.Number(i+1), r.pressureOf(file, words[1:]))
			}
		}
	}
	return message, ok
}

func (r *reader) pressureOf(file string, words []string) []byte {
	var message []byte
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		if name == "total" { // µs
			message = protofields.AppendNumber(message, 4, r.parse(file, value))
		}
		for i, average := range []string{"avg10", "avg60", "avg300"} { // of so many seconds, in per cent
			if name != average {
				continue
			}
			percent, err := strconv.ParseFloat(value, 64)
			if err != nil {
				r.fail(file, err)
			}
			message = protofields.AppendDouble(message, protofields.Number(i+1), percent)
		}
	}
	return message
}

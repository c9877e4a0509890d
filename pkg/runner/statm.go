package runner

import (
	"fmt"
	"io"
	"os"
)

// statm is /proc/self/statm, which a runner opens while it still can: the room
// that it enters has no /proc.
type statm struct{ file *os.File }

func openStatm() *statm {
	file, err := os.Open("/proc/self/statm")
	if err != nil {
		return &statm{}
	}
	return &statm{file: file}
}

// anonymous counts the bytes in resident pages that are not a file's: those of the
// binary can be dropped, and are shared with other containers. It fails in a
// container without /proc.
func (s *statm) anonymous() (int64, bool) {
	if s.file == nil {
		return 0, false
	}
	const longest = 256
	var size, resident, shared int64
	if _, err := fmt.Fscan(io.NewSectionReader(s.file, 0, longest), &size, &resident, &shared); err != nil || resident < shared {
		return 0, false
	}
	return (resident - shared) * int64(os.Getpagesize()), true
}

func (s *statm) close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

package resolve

import (
	"errors"
	"iter"
	"strings"

	"golang.org/x/sys/unix"
)

// maxFile bounds what is read of a file, in bytes.
const maxFile = 1 << 20

// readFile returns what can be read of a file. It does not wait for those that
// write to it.
func readFile(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var text []byte
	buffer := make([]byte, 4096)
	for len(text) < maxFile {
		n, err := unix.Read(fd, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			break
		}
		text = append(text, buffer[:n]...)
	}
	return string(text)
}

// lines are the words of each line, without comments and empty lines.
func lines(text, comments string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(text) {
			if i := strings.IndexAny(line, comments); i >= 0 {
				line = line[:i]
			}
			if words := strings.Fields(line); len(words) > 0 && !yield(words) {
				return
			}
		}
	}
}

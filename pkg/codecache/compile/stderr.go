package compile

import (
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/printable"
)

// mostSaid is how much is kept of what a compiler writes to stderr, in bytes: the
// beginning, where the Go runtime says why it ends the process.
const mostSaid = 4 << 10

// stderr takes what a compiler writes there.
type stderr struct {
	file *os.File
	done chan struct{}

	mu   sync.Mutex
	kept []byte
}

// newStderr returns the other end as well.
func newStderr() (_ *stderr, theirs *os.File, err error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	s := &stderr{file: ours, done: make(chan struct{})}
	go s.read()
	return s, theirs, nil
}

func (s *stderr) read() {
	defer close(s.done)
	buffer := make([]byte, mostSaid)
	for {
		n, err := s.file.Read(buffer)
		s.mu.Lock()
		s.kept = append(s.kept, buffer[:min(n, mostSaid-len(s.kept))]...)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// settle waits for what an ended process has written, but not for one that it left
// behind.
func (s *stderr) settle() {
	select {
	case <-s.done:
	case <-time.After(time.Second):
	}
}

func (s *stderr) close() {
	s.file.Close()
	<-s.done
}

// String is what was said, on one line and without control characters.
func (s *stderr) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(printable.Text(string(s.kept)))
}

// excerpt ends a sentence.
func (s *stderr) excerpt() string {
	const most = 200
	said := s.String()
	if said == "" {
		return ""
	}
	return ": " + printable.Cut(said, most)
}

// tellsOutOfMemory recognizes the words of the Go runtime.
func (s *stderr) tellsOutOfMemory() bool {
	said := s.String()
	return strings.Contains(said, "out of memory") || strings.Contains(said, "cannot allocate memory")
}

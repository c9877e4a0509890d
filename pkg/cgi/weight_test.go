package cgi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestClientsThatWaitTakeWhatIsCounted: a program that has ended makes room for another
// one, but what is left of its answer stays until the client has read it. Nothing but the
// number of connections bounds how many of these there are, for which pkg/runner counts so
// much of Go's memory (see memoryPerConnection), and one more descriptor, for each.
func TestClientsThatWaitTakeWhatIsCounted(t *testing.T) { // not in parallel: it looks at the whole process
	const clients, mostMemory, mostPipes = 50, 128 << 10, 1
	var ended atomic.Int32
	l := listen(t, "unix")
	serve(t, l, script(func(_ []string, _, stdout *os.File) (int, error) {
		defer ended.Add(1)
		fmt.Fprint(stdout, "Content-Type: text/plain\n\n")
		for { // until everything is full
			_ = stdout.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			if _, err := stdout.Write(make([]byte, 1<<10)); errors.Is(err, os.ErrDeadlineExceeded) {
				return 0, nil
			} else if err != nil {
				return 0, err
			}
		}
	}), func(s *server) { s.Workers = clients })
	fields := strings.Repeat("X: y\r\n", maxFields-1)
	memory, pipes := taken(t)
	for range clients {
		c := dial(t, l)
		if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"+fields+"\r\nhalf"); err != nil {
			t.Fatal(err)
		}
	}
	for begin := time.Now(); ended.Load() < clients; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > enough {
			t.Fatalf("%d of %d programs have ended", ended.Load(), clients)
		}
	}
	var memoryAfter, pipesAfter int
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) { // it may be about the end of one
		memoryAfter, pipesAfter = taken(t)
		if memoryAfter-memory <= clients*mostMemory && pipesAfter-pipes <= clients*mostPipes {
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Errorf("each of %d clients has %d bytes and %.1f pipes", clients, (memoryAfter-memory)/clients, float64(pipesAfter-pipes)/clients)
			return
		}
	}
	t.Logf("each of %d clients has %d bytes and %.1f pipes", clients, (memoryAfter-memory)/clients, float64(pipesAfter-pipes)/clients)
}

// taken is how much memory Go has that is no garbage, and how many ends of pipes are open.
func taken(t *testing.T) (memory, pipes int) {
	t.Helper()
	runtime.GC()
	runtime.GC() // for what pools keep
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range open {
		if to, _ := os.Readlink("/proc/self/fd/" + f.Name()); strings.HasPrefix(to, "pipe:") {
			pipes++
		}
	}
	return int(m.HeapAlloc + m.StackInuse), pipes
}

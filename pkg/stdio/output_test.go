package stdio

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// read opens a FIFO as containerd does, waiting for a writer, and reads it to its end.
func read(t *testing.T, path string) string {
	t.Helper()
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		f, err := os.OpenFile(path, os.O_RDONLY, 0)
		if err != nil {
			done <- result{nil, err}
			return
		}
		defer f.Close()
		data, err := io.ReadAll(f)
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		must(t, r.err)
		return string(r.data)
	case <-time.After(patience):
		t.Fatal("the reader waits for ever")
		return ""
	}
}

// requireText fails the test unless a reader that comes now gets exactly this.
func requireText(t *testing.T, path, want string) {
	t.Helper()
	if got := read(t, path); got != want {
		t.Errorf("%s has %q, want %q", path, got, want)
	}
}

// ended has a process write to stdout, and end.
func ended(t *testing.T, s *Streams, text string) {
	t.Helper()
	_, out, _ := s.Files()
	write(t, out, text)
	s.ProcessStarted() // now nothing but the process would have it open
	s.Ended()
}

func TestReaderThatComesAfterTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]time.Duration{"at once": 0, "late": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := mkfifo(t, "out"), mkfifo(t, "err")
			ended(t, open(t, Config{Stdout: out, Stderr: err}), "last words")
			time.Sleep(late)
			requireText(t, out, "last words")
			requireText(t, err, "")
		})
	}
}

// That is what a restart of containerd looks like.
func TestReaderThatComesBackAfterTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	path := mkfifo(t, "out")
	before, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	s := open(t, Config{Stdout: path})
	must(t, before.Close())
	ended(t, s, "while you were away")
	requireText(t, path, "while you were away")
}

func TestReaderOfATerminalThatComesAfterTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	path := mkfifo(t, "out")
	s := open(t, Config{Terminal: true, Stdout: path})
	master, slave, err := console.NewPty()
	must(t, err)
	tty, err := os.OpenFile(slave, os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	must(t, s.Attach(master))
	write(t, tty, "last words\n")
	must(t, tty.Close())
	s.Ended()
	requireText(t, path, "last words\r\n")
}

// A reader that has got everything needs nothing: the end of the process was its end.
func TestNobodyIsAwaitedWhoHasReadEverything(t *testing.T) {
	t.Parallel()
	path := mkfifo(t, "out")
	reader, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	s := open(t, Config{Stdout: path})
	ended(t, s, "")
	must(t, reader.Close())
	if w, err := openBare(path, unix.O_WRONLY|unix.O_NONBLOCK); err != nil {
		t.Errorf("the shim's own end is gone: %v", err)
	} else {
		unix.Close(w)
	}
	again, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	defer again.Close()
	if n, err := again.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("somebody has it open for writing: %d, %v", n, err)
	}
}

// Clients of containerd that hear of the end of a process close their readers.
func TestEndIsNotToldBeforeTheOutputWasRead(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"a reader that was there": true, "a reader that comes": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := mkfifo(t, "out")
			var reader *os.File
			connect := func() {
				var err error
				reader, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
				must(t, err)
			}
			if before {
				connect()
			}
			s := open(t, Config{Stdout: path})
			_, out, _ := s.Files()
			write(t, out, "last words")
			s.ProcessStarted()
			told := make(chan struct{})
			go func() {
				defer close(told)
				s.Ended()
			}()
			select {
			case <-told:
				t.Error("it was told at once")
			case <-time.After(lastWords / 5):
			}
			if !before {
				connect()
			}
			defer reader.Close()
			data, err := io.ReadAll(reader)
			if err != nil || string(data) != "last words" {
				t.Errorf("read %q, %v", data, err)
			}
			select {
			case <-told:
			case <-time.After(patience):
				t.Error("the end is never told")
			}
		})
	}
}

func TestCloseDoesNotWaitForReaders(t *testing.T) {
	t.Parallel()
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	ended(t, s, "nobody reads this")
	s.Close()
	s.Ended()
	s.Close()
	if _, err := openBare(path, unix.O_WRONLY|unix.O_NONBLOCK); err == nil {
		t.Error("somebody has it open for reading")
	}
}

// TestNoChildPassesForAReader: until a child has reached its program, it has a copy of the
// read end that the shim keeps. A reader that comes later would wait for ever.
func TestNoChildPassesForAReader(t *testing.T) {
	t.Parallel()
	var flags uintptr
	if os.Geteuid() == 0 {
		flags = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID // takes its time
	}
	done := make(chan struct{})
	var children sync.WaitGroup
	defer children.Wait()
	defer close(done)
	children.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			c := exec.Command("/bin/true")
			c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
			ended, err := start(c)
			if err != nil {
				t.Error(err)
				return
			}
			<-ended
		}
	})
	for range 25 {
		out := mkfifo(t, "out")
		s := open(t, Config{Stdout: out})
		ended(t, s, "")
		time.Sleep(5 * time.Millisecond)
		requireText(t, out, "") // or it waits
		s.Close()
	}
}

// TestReaderThatReadsWhileItIsLookedFor finds the end, whenever it reads.
func TestReaderThatReadsWhileItIsLookedFor(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		out := mkfifo(t, "out")
		reader, err := openFlags(out, unix.O_RDONLY|unix.O_NONBLOCK)
		must(t, err)
		s := open(t, Config{Stdout: out})
		ends := make(chan struct{})
		go func() {
			defer close(ends)
			ended(t, s, "last words")
		}()
		time.Sleep(time.Duration(i) * 20 * time.Microsecond)
		must(t, reader.SetReadDeadline(time.Now().Add(patience)))
		if data, err := io.ReadAll(reader); err != nil || string(data) != "last words" {
			t.Fatalf("%d: %q, %v", i, data, err)
		}
		<-ends
		reader.Close()
		s.Close()
	}
}

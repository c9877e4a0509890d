package stdio

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestProcessesCannotChangeTheFileTheyWriteTo, whatever they do with their descriptor.
func TestProcessesCannotChangeTheFileTheyWriteTo(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	must(t, os.WriteFile(log, []byte("before "), 0o600))
	s := open(t, Config{Stdout: log, Stderr: "file://" + log})
	_, out, errs := s.Files()
	for _, f := range []*os.File{out, errs} {
		fd := int(f.Fd())
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETFL, 0)
		if _, err := unix.Pwrite(fd, []byte("FORGED"), 0); !errors.Is(err, unix.ESPIPE) {
			t.Errorf("pwrite: %v", err)
		}
		if _, err := unix.Seek(fd, 0, 0); !errors.Is(err, unix.ESPIPE) {
			t.Errorf("lseek: %v", err)
		}
		if err := unix.Ftruncate(fd, 0); !errors.Is(err, unix.EINVAL) {
			t.Errorf("ftruncate: %v", err)
		}
		if err := unix.Fallocate(fd, 0, 0, 1<<20); !errors.Is(err, unix.ESPIPE) {
			t.Errorf("fallocate: %v", err)
		}
		write(t, f, "after ")
	}
	s.ProcessStarted()
	s.Ended()
	requireContent(t, log, "before after after ")
}

// TestOutputWaitsForRoomOnTheDisk: it is not lost.
func TestOutputWaitsForRoomOnTheDisk(t *testing.T) {
	t.Parallel()
	dir, log := full(t)
	warnings := make(chan error, 2)
	s := open(t, Config{Stdout: "file://" + log, Warn: func(err error) { warnings <- err }})
	_, out, _ := s.Files()
	text := strings.Repeat("0123456789abcdef", 1<<10)
	write(t, out, text)
	s.ProcessStarted()
	s.Ended()
	if st, err := os.Stat(log); err != nil || st.Size() >= int64(len(text)) {
		t.Fatalf("the disk is not full: %v, %v", st, err)
	}
	must(t, os.Remove(filepath.Join(dir, "filler")))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		data, err := os.ReadFile(log)
		must(t, err)
		if string(data) == text {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d bytes", len(data), len(text))
		}
	}
	if err := <-warnings; !strings.Contains(err.Error(), "waits for room: write "+log+": no space left on device") || len(warnings) > 0 {
		t.Errorf("%v, and %d more", err, len(warnings))
	}
}

// TestCloseWaitsForTheDisk: what a process has written before its end is not lost because
// the disk takes its time.
func TestCloseWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	dir, log := full(t)
	s := open(t, Config{Stdout: "file://" + log})
	_, out, _ := s.Files()
	text := strings.Repeat("0123456789abcdef", 1<<10)
	write(t, out, text)
	s.ProcessStarted()
	s.Ended()
	time.AfterFunc(time.Second, func() { os.Remove(filepath.Join(dir, "filler")) })
	s.Close()
	requireContent(t, log, text)
}

// TestWhatCannotBeWrittenKeepsNobodyWaiting: the file is on a disk that fails.
func TestWhatCannotBeWrittenKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	out, process, err := os.Pipe()
	must(t, err)
	failing, err := os.Open(os.DevNull) // for reading: EBADF
	must(t, err)
	var warnings []error
	r := &relay{file: failing, in: out, warn: func(err error) { warnings = append(warnings, err) }, done: make(chan struct{})}
	go r.run(nil)
	for range 10 {
		write(t, process, strings.Repeat("x", 64<<10))
	}
	must(t, process.Close())
	<-r.done
	if len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "output is lost") {
		t.Errorf("%q", warnings)
	}
}

// full is a directory whose disk is full but for some bytes, and a file there that is not.
func full(t *testing.T) (dir, log string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir = t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) }) // others fork
	must(t, os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 56<<10), 0o600))
	return dir, filepath.Join(dir, "log")
}

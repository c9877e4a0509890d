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
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) }) // others fork
	filler, log := filepath.Join(dir, "filler"), filepath.Join(dir, "log")
	must(t, os.WriteFile(filler, make([]byte, 56<<10), 0o600))
	s := open(t, Config{Stdout: "file://" + log})
	t.Cleanup(s.Close) // before the unmount
	_, out, _ := s.Files()
	text := strings.Repeat("0123456789abcdef", 1<<10)
	write(t, out, text)
	s.ProcessStarted()
	s.Ended()
	if st, err := os.Stat(log); err != nil || st.Size() >= int64(len(text)) {
		t.Fatalf("the disk is not full: %v, %v", st, err)
	}
	must(t, os.Remove(filler))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		data, err := os.ReadFile(log)
		must(t, err)
		if string(data) == text {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d bytes", len(data), len(text))
		}
	}
}

package preview1

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestClocksAreTheKernels(t *testing.T) {
	t.Parallel()
	c, err := newClocks(0)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	for _, id := range []int32{unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_PROCESS_CPUTIME_ID} {
		// What is told at first is read a moment before the time that it belongs to.
		before := kernelTime(t, id) - int64(time.Millisecond)
		now, e := c.now(id)
		if after := kernelTime(t, id); e != ESUCCESS || now < before || now > after {
			t.Errorf("clock %d: %d (%v), not from %d to %d", id, now, e, before, after)
		}
	}
}

func kernelTime(t *testing.T, id int32) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

func TestCoarseClocksGoByMilliseconds(t *testing.T) {
	t.Parallel()
	c, err := newClocks(time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for id := range uint32(len(clockIDs)) {
		linux, _ := clockID(id)
		for range 100 {
			if now, e := c.now(linux); e != ESUCCESS || now%int64(time.Millisecond) != 0 {
				t.Fatalf("clock %d: %d (%v)", id, now, e)
			}
		}
	}
}

func TestCoarseClocksAreThoseOfFiles(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(name, nil, 0o600))
	times := unix.NsecToTimespec(1_234_567_891)
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{times, times}, 0))
	dir, err := unix.Open(filepath.Dir(name), unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	for coarse, want := range map[time.Duration]uint64{0: 1_234_567_891, time.Millisecond: 1_234_000_000} {
		copied, err := unix.Dup(dir)
		must(t, err)
		r := newRig(t, Config{Stdio: [3]int{openFile(t, name), openFile(t, os.DevNull), openFile(t, os.DevNull)}, Preopens: []Preopen{{FD: copied, Name: "/"}}, Clock: coarse})
		at, path := r.room(filestatSize), r.put([]byte("file"))
		for function, args := range map[string][]uint64{"fd_filestat_get": {0, at}, "path_filestat_get": {3, 0, path, 4, at}} {
			r.expect(ESUCCESS, function, args...)
			if got := binary.LittleEndian.Uint64(r.read(at+48, 8)); got != want {
				t.Errorf("%s with steps of %v: %d, want %d", function, coarse, got, want)
			}
		}
	}
	must(t, unix.Close(dir))
}

func BenchmarkMonotonicClock(b *testing.B) {
	c, err := newClocks(0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c.now(unix.CLOCK_MONOTONIC)
	}
}

package preview1

import (
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

func BenchmarkMonotonicClock(b *testing.B) {
	c, err := newClocks(0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c.now(unix.CLOCK_MONOTONIC)
	}
}

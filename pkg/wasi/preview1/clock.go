package preview1

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

var clockFunctions = []function{
	{"clock_res_get", "ii", clockResGet},
	{"clock_time_get", "iIi", clockTimeGet},
}

// clocks are what a guest may know about the time.
type clocks struct {
	// coarse is the finest difference that it sees; 0 is the kernel's.
	coarse time.Duration
	// CLOCK_MONOTONIC was monotonic, in nanoseconds, at this moment. What has passed
	// since is told by Go, which asks the vDSO: a system call takes ten times longer.
	monotonic int64
	moment    time.Time
}

func newClocks(coarse time.Duration) (clocks, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return clocks{}, fmt.Errorf("read the clock: %w", err)
	}
	return clocks{coarse: coarse, monotonic: ts.Nano(), moment: time.Now()}, nil
}

// clockIDs are Linux's clocks by the specification's numbers.
var clockIDs = [...]int32{unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_PROCESS_CPUTIME_ID, unix.CLOCK_THREAD_CPUTIME_ID}

// clockID finds a clock, or says EINVAL.
func clockID(id uint32) (int32, Errno) {
	if uint64(id) >= uint64(len(clockIDs)) {
		return 0, EINVAL
	}
	return clockIDs[id], ESUCCESS
}

// clockResGet writes the resolution of a clock in nanoseconds: (id, resolution).
// EINVAL, EFAULT.
func clockResGet(s *System, m memory, a arguments) Errno {
	id, e := clockID(a.u32(0))
	if e != ESUCCESS {
		return e
	}
	var ts unix.Timespec
	if err := unix.ClockGetres(id, &ts); err != nil {
		return errnoOf(err)
	}
	return m.put64(a.u32(1), uint64(max(ts.Nano(), int64(s.clock.coarse))))
}

// clockTimeGet writes the time of a clock in nanoseconds: (id, precision, time). The
// precision is a hint that no clock here needs. EINVAL, EFAULT.
func clockTimeGet(s *System, m memory, a arguments) Errno {
	id, e := clockID(a.u32(0))
	if e != ESUCCESS {
		return e
	}
	now, e := s.clock.now(id)
	if e != ESUCCESS {
		return e
	}
	return m.put64(a.u32(2), uint64(now))
}

// now is the time of one of Linux's clocks in nanoseconds.
func (c *clocks) now(id int32) (int64, Errno) {
	var now int64
	switch id {
	case unix.CLOCK_REALTIME:
		now = time.Now().UnixNano()
	case unix.CLOCK_MONOTONIC:
		now = c.monotonic + int64(time.Since(c.moment))
	default:
		var ts unix.Timespec
		if err := unix.ClockGettime(id, &ts); err != nil {
			return 0, errnoOf(err)
		}
		now = ts.Nano()
	}
	if now < 0 { // to which Linux cannot be set, nor beyond 2232
		return 0, EOVERFLOW
	}
	if c.coarse > 0 {
		now -= now % int64(c.coarse)
	}
	return now, ESUCCESS
}

// coarsen makes a file's times as fine as the clocks: who changes a file and looks at
// it would have another clock, with all of the kernel's precision since Linux 6.13.
func (c *clocks) coarsen(st *unix.Stat_t) {
	if c.coarse <= 0 {
		return
	}
	for _, t := range []*unix.Timespec{&st.Atim, &st.Mtim, &st.Ctim} {
		t.Nsec -= t.Nsec % int64(c.coarse)
	}
}

package preview1

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A guest that waits by calling sched_yield again and again does so because it
// has nothing else: there are no other threads in WASI preview 1 that could go
// on meanwhile. Every Go program does this that uses os/signal (notetsleepg in
// the Go runtime's lock_wasip1.go), and would take a whole CPU while idle.
const (
	// busyGap is the longest time between two calls that leaves no doubt that
	// the guest did nothing in between.
	busyGap = 20 * time.Microsecond
	// busyCalls is the number of such calls before the guest has to sleep: a few
	// are a fair way to wait for a moment.
	busyCalls = 1000
	// mostCalls bounds what is remembered, so that a guest which begins to work
	// is soon not slowed down any more.
	mostCalls = 4 * busyCalls
	// workCalls is how many calls are forgotten for each busyGap between two:
	// one interruption by other processes is no work.
	workCalls = 100
	// shortestSleep grows by a sixteenth with each call up to longestSleep, which
	// bounds how late the guest notices what it waits for.
	shortestSleep = 50 * time.Microsecond
	longestSleep  = 5 * time.Millisecond
)

// yielder implements sched_yield.
type yielder struct {
	now   func() time.Time
	sleep func(time.Duration)

	last  time.Time
	calls int
	pause time.Duration
}

func newYielder() *yielder {
	return &yielder{now: time.Now, sleep: nanosleep}
}

// nanosleep sleeps in the kernel. That costs a fraction of what time.Sleep
// does, which hands this thread's work to another one.
func nanosleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil)
}

// yield gives the CPU away: for a moment, or for longer if the guest seems to
// wait. It is called by the guest's only thread.
func (y *yielder) yield() {
	worked := min(y.now().Sub(y.last)/busyGap, mostCalls/workCalls)
	y.calls = max(min(y.calls+1, mostCalls)-int(worked)*workCalls, 0)
	if y.calls <= busyCalls {
		y.pause = shortestSleep
		runtime.Gosched()
	} else {
		y.sleep(y.pause)
		y.pause = min(y.pause+y.pause/16, longestSleep)
	}
	y.last = y.now()
}

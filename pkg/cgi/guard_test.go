package cgi

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// alarm is what a guard sets: when it ends the process, or nil.
type alarm struct{ at atomic.Pointer[time.Time] }

func (a *alarm) set(after time.Duration) {
	if after == 0 {
		a.at.Store(nil)
		return
	}
	at := time.Now().Add(after)
	a.at.Store(&at)
}

// left is for how long the process may go on, or 0 if nothing ends it.
func (a *alarm) left() time.Duration {
	if at := a.at.Load(); at != nil {
		return time.Until(*at)
	}
	return 0
}

// TestGuardIsOnWhileSomethingRuns and at no other time: an idle server may be paused for
// as long as one likes.
func TestGuardIsOnWhileSomethingRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const after = 8 * time.Second
		var a alarm
		var idle atomic.Int32
		g := &guard{set: a.set, after: after, idle: func() { idle.Add(1) }}
		for range 3 { // from the second on it ticks already
			g.begin()
			if left := a.left(); left != after {
				t.Errorf("%v are left at the beginning", left)
			}
			g.begin()
			g.end()
			if left := a.left(); left != after {
				t.Errorf("%v are left while another one runs", left)
			}
			g.end()
			if left := a.left(); left != 0 {
				t.Errorf("nothing runs, and %v are left", left)
			}
		}
		g.begin()
		for range 100 {
			time.Sleep(time.Second)
			synctest.Wait()
			if left := a.left(); left < after/2 {
				t.Fatalf("Go's runtime runs, and %v are left", left)
			}
		}
		if n := idle.Load(); n != 0 {
			t.Errorf("it was called idle %d times while something ran", n)
		}
		g.end()
		time.Sleep(after)
		synctest.Wait()
		if left, n := a.left(), idle.Load(); left != 0 || n != 1 {
			t.Errorf("nothing runs, and %v are left; it was called idle %d times", left, n)
		}
	})
}

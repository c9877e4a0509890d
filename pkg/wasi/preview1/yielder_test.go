package preview1

import (
	"testing"
	"time"
)

// clock is a yielder's time, which passes only by hand and by sleeping.
type clock struct {
	now   time.Time
	slept time.Duration
}

func (c *clock) yielder() *yielder {
	return &yielder{
		now:   func() time.Time { return c.now },
		sleep: func(d time.Duration) { c.slept += d; c.now = c.now.Add(d) },
	}
}

func TestGuestThatOnlyYieldsSleeps(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Unix(1, 0)}
	y := c.yielder()
	for range busyCalls + 1000 {
		c.now = c.now.Add(time.Microsecond)
		y.yield()
	}
	if c.slept < 4*time.Second || c.slept > 5*time.Second {
		t.Errorf("it slept %v", c.slept)
	}
}

func TestInterruptionsAreNoWork(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Unix(1, 0)}
	y := c.yielder()
	for i := range 3 * mostCalls {
		c.now = c.now.Add(time.Microsecond)
		if i%1000 == 999 {
			c.now = c.now.Add(100 * time.Microsecond)
		}
		y.yield()
	}
	if c.slept < 2*mostCalls*longestSleep {
		t.Errorf("it slept %v only", c.slept)
	}
}

func TestGuestThatWorksBetweenYieldsIsNotSlowedDown(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Unix(1, 0)}
	y := c.yielder()
	for i := range 100 * busyCalls {
		c.now = c.now.Add(time.Microsecond)
		if i%(busyCalls/2) == 0 {
			c.now = c.now.Add(time.Millisecond)
		}
		y.yield()
	}
	if c.slept != 0 {
		t.Errorf("it slept %v", c.slept)
	}
}

package cgi

import (
	"sync"
	"time"
)

// guard has the process ended from outside of Go's runtime if that does not get to run
// any more, as can be while an instance computes: its collector of garbage waits for all
// threads, and an instance stops for nothing.
type guard struct {
	set   func(after time.Duration)
	after time.Duration
	idle  func() // called when nothing has run for a while

	mu      sync.Mutex
	running int
	ticking bool
}

// begin is called when an instance begins to run, and end when it has ended.
func (g *guard) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running++
	if g.running == 1 {
		g.set(g.after)
	}
	if !g.ticking {
		g.ticking = true
		g.again()
	}
}

// end does not leave it to tick to call the end off when nothing runs any more: if the
// container is paused before, the time passes meanwhile.
func (g *guard) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	if g.running == 0 {
		g.set(0)
	}
}

func (g *guard) again() { time.AfterFunc(g.after/4, g.tick) }

// tick shows that the runtime runs. Nothing ticks in an idle server.
func (g *guard) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running > 0 {
		g.set(g.after)
		g.again()
		return
	}
	g.ticking = false
	go g.idle()
}

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
	if !g.ticking {
		g.ticking = true
		g.again()
	}
}

func (g *guard) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
}

func (g *guard) again() {
	g.set(g.after)
	time.AfterFunc(g.after/4, g.tick)
}

// tick shows that the runtime runs. Nothing ticks in an idle server.
func (g *guard) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running > 0 {
		g.again()
		return
	}
	g.ticking = false
	g.set(0)
	go g.idle()
}

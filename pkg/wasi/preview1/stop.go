package preview1

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// stopper ends a guest when it has served those whom it has accepted. It is asked to
// at any time, also during a call. Guests that are ended at once have none: nil.
type stopper struct {
	mu sync.Mutex
	// listeners are the host's descriptors of those sockets that accept.
	listeners []int
	// connections is how many are open, or being accepted. Those that the guest has
	// made itself do not count: nobody waits at their other end.
	connections int
	// end is called when there are none any more; nil if the guest need not stop.
	end func()
	// ended tells that end has been called.
	ended bool
}

// Stop makes the guest's listeners accept no connections any more, which new ones
// are told, and the guest: EINVAL, as Linux has it, also for a call that waits. Not
// ECONNABORTED, after which Go's runtime tries again.
//
// It calls end, once, when no connection that the guest has accepted is open, which may be
// at once, and maybe during a call. It may be called at any time, but only once, of a
// System that is Stoppable.
func (s *System) Stop(end func()) {
	p := s.stopper
	p.mu.Lock()
	p.end = end
	for _, fd := range p.listeners {
		// It wakes who waits for the listener. Errors: it has been shut down already.
		_ = unix.Shutdown(fd, unix.SHUT_RDWR)
	}
	p.mu.Unlock()
	p.endIfServed()
}

// listens gets to know a socket that accepts connections.
func (p *stopper) listens(d *descriptor) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d.stopper = p
	p.listeners = append(p.listeners, d.fd)
	if p.end != nil {
		_ = unix.Shutdown(d.fd, unix.SHUT_RDWR)
	}
}

// stops tells whether the guest has to stop.
func (p *stopper) stops() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end != nil
}

// connects counts a connection before it is accepted: between the two, nobody could
// say whether there is one.
func (p *stopper) connects() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connections++
}

// disconnects is called when there is one connection less.
func (p *stopper) disconnects() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.connections--
	p.mu.Unlock()
	p.endIfServed()
}

// close closes a listener, or a connection.
func (p *stopper) close(d *descriptor) error {
	if !d.listens {
		defer p.disconnects()
		return closeFD(d.fd)
	}
	p.mu.Lock()
	defer p.mu.Unlock() // the number may soon be another one's
	p.listeners = slices.DeleteFunc(p.listeners, func(fd int) bool { return fd == d.fd })
	return closeFD(d.fd)
}

func (p *stopper) endIfServed() {
	p.mu.Lock()
	now := p.end != nil && p.connections == 0 && !p.ended
	p.ended = p.ended || now
	p.mu.Unlock()
	if now {
		p.end()
	}
}

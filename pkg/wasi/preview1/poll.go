package preview1

import (
	"errors"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

var pollFunctions = []function{{"poll_oneoff", "iiii", pollOneoff}}

// maxSubscriptions bounds what one call may wait for.
const maxSubscriptions = 1 << 16

// pollOneoff waits until something happens of what is subscribed to, as poll(2)
// does: (in: pointer to subscriptions, out: pointer to as many events,
// nsubscriptions, nevents: pointer). EINVAL for no subscriptions, or too many,
// EFAULT, and those of ppoll(2). What is wrong with one subscription is its event's
// error: EBADF, ENOTCAPABLE, EINVAL for a clock or a flag that there is not, ENOTSUP
// for a clock that nobody can wait for.
//
// Everything that has happened is told, in the order of the subscriptions, and
// nothing else.
func pollOneoff(s *System, m memory, a arguments) Errno {
	return s.poll(m, a, subscriptionSize, func(in []byte) []byte { return in })
}

// poll is poll_oneoff with subscriptions of another size, from which translate makes
// those of preview 1.
func (s *System) poll(m memory, a arguments, size uint32, translate func([]byte) []byte) Errno {
	count := a.u32(2)
	if count == 0 || count > maxSubscriptions {
		return EINVAL
	}
	in, ok := m.table(a.u32(0), count, size)
	if !ok {
		return EFAULT
	}
	out, ok := m.table(a.u32(1), count, eventSize)
	if !ok {
		return EFAULT
	}
	if _, ok := m.bytes(a.u32(3), 4); !ok {
		return EFAULT
	}
	s.ways.clear()
	events, e := s.poller.poll(&s.files, &s.clock, translate(in), out)
	if e != ESUCCESS {
		return e
	}
	return m.put32(a.u32(3), events)
}

// poller implements poll_oneoff.
type poller struct {
	// polled is what ppoll is called with, kept for the next call. A descriptor is
	// there once, whatever is subscribed to of it: the kernel takes no more than a
	// process may have open.
	polled []unix.PollFd
	clock  *clocks
	// began and now are the times of the call and of the last look at the clocks, in
	// nanoseconds, by their numbers in the specification.
	began, now [clockMonotonic + 1]int64
}

// clockCheck is how often a time of day is looked at that is waited for: the clock
// may be set meanwhile, of which ppoll knows nothing.
const clockCheck = 10 * time.Second

// poll returns the number of events that it has written.
func (p *poller) poll(files *table, clock *clocks, in, out []byte) (uint32, Errno) {
	p.clock = clock
	if e := p.look(); e != ESUCCESS {
		return 0, e
	}
	p.began = p.now
	for {
		if e := p.wait(p.prepare(files, in)); e != ESUCCESS {
			return 0, e
		}
		if e := p.look(); e != ESUCCESS {
			return 0, e
		}
		if n := p.report(files, in, out); n > 0 {
			return n, ESUCCESS
		}
	}
}

// look reads the clocks.
func (p *poller) look() (e Errno) {
	for id := range p.now {
		if p.now[id], e = p.clock.now(clockIDs[id]); e != ESUCCESS {
			return e
		}
	}
	return ESUCCESS
}

// forever is a time that does not come.
const forever = time.Duration(math.MaxInt64)

// prepare tells ppoll what to wait for, and how long at most.
func (p *poller) prepare(files *table, in []byte) time.Duration {
	p.polled = p.polled[:0]
	until := forever
	for ; len(in) > 0; in = in[subscriptionSize:] {
		sub := subscription(in)
		if sub.kind() == eventClock {
			until = min(until, p.remaining(sub))
			continue
		}
		d, e := sub.descriptor(files)
		if e != ESUCCESS {
			until = 0
			continue
		}
		entry := p.entry(d)
		if entry == nil {
			d.polled = len(p.polled)
			p.polled = append(p.polled, unix.PollFd{Fd: int32(d.fd)})
			entry = &p.polled[d.polled]
		}
		entry.Events |= sub.interest()
	}
	return until
}

// entry is a descriptor's, or nil if it has none.
func (p *poller) entry(d *descriptor) *unix.PollFd {
	if d.polled < len(p.polled) && p.polled[d.polled].Fd == int32(d.fd) {
		return &p.polled[d.polled]
	}
	return nil
}

// remaining is how long to wait for a clock, at most; 0 is not at all.
func (p *poller) remaining(sub subscription) time.Duration {
	clock, at, e := p.deadline(sub)
	if e != ESUCCESS {
		return 0
	}
	left := time.Duration(max(at-p.now[clock], 0))
	if clock == clockRealtime {
		return min(left, clockCheck)
	}
	return left
}

// deadline is the time that a subscription waits for, of which clock. A time that
// passes goes by the monotonic one, as nanosleep does.
func (p *poller) deadline(sub subscription) (clock uint32, at int64, e Errno) {
	clock, timeout, flags := sub.clock()
	switch {
	case uint64(clock) >= uint64(len(clockIDs)), flags&^absolute != 0:
		return 0, 0, EINVAL
	case uint64(clock) >= uint64(len(p.now)):
		return 0, 0, ENOTSUP
	}
	at = int64(min(timeout, math.MaxInt64))
	if flags&absolute == 0 {
		clock = clockMonotonic
		at += min(p.began[clock], math.MaxInt64-at)
	}
	return clock, at, ESUCCESS
}

// wait returns when something is ready, or the time has passed, or a signal came:
// the caller looks anyway.
func (p *poller) wait(most time.Duration) Errno {
	var timeout *unix.Timespec
	if most != forever {
		ts := unix.NsecToTimespec(int64(most))
		timeout = &ts
	}
	_, err := unix.Ppoll(p.polled, timeout, nil)
	if errors.Is(err, unix.EINTR) {
		for i := range p.polled {
			p.polled[i].Revents = 0
		}
		return ESUCCESS
	}
	return errnoOf(err)
}

// report writes the events that have happened and returns their number.
func (p *poller) report(files *table, in, out []byte) (count uint32) {
	for ; len(in) > 0; in = in[subscriptionSize:] {
		sub, ev := subscription(in), event{userdata: subscription(in).userdata(), kind: subscription(in).kind()}
		happened := false
		if ev.kind == eventClock {
			happened = p.expired(sub, &ev)
		} else {
			happened = p.ready(files, sub, &ev)
		}
		if happened {
			ev.write(out)
			out = out[eventSize:]
			count++
		}
	}
	return count
}

func (p *poller) expired(sub subscription, ev *event) bool {
	clock, at, e := p.deadline(sub)
	ev.errno = e
	return e != ESUCCESS || p.now[clock] >= at
}

func (p *poller) ready(files *table, sub subscription, ev *event) bool {
	d, e := sub.descriptor(files)
	if e != ESUCCESS {
		ev.errno = e
		return true
	}
	entry := p.entry(d)
	if entry == nil || entry.Revents&(sub.interest()|unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) == 0 {
		return false
	}
	switch {
	case entry.Revents&unix.POLLNVAL != 0:
		ev.errno = EBADF
	case ev.kind == eventRead:
		ev.bytes = d.readable()
	default:
		ev.bytes = 1 // all that is known
	}
	// The writing end of a pipe that nobody reads has an error, and no hangup.
	if entry.Revents&unix.POLLHUP != 0 || entry.Revents&unix.POLLERR != 0 && !d.isSocket() {
		ev.flags = hangup
	}
	return true
}

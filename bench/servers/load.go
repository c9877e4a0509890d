package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// load is clients that each ask again when they have their answer. One thread
// serves them all, by epoll: it has to leave the machine to the server.
type load struct {
	port        int // on 127.0.0.1
	path        string
	body        []byte // that has to come
	connections int    // at the same time
	// fresh makes a new connection for each request; otherwise each client has one.
	fresh bool
	// pause is from the begin of a client's request to that of its next, if the answer
	// has come by then.
	pause time.Duration
}

// outcome is what a load has seen.
type outcome struct {
	perSecond float64         // answers within the time
	latencies []time.Duration // of all answers
	cpu       float64         // CPUs that the clients took, on average
}

// noAnswer is how long an answer may take.
const noAnswer = 10 * time.Second

// run opens what it needs, asks for a time, and closes it.
func (l load) run(ctx context.Context, long time.Duration) (outcome, error) {
	p, err := l.open()
	if err != nil {
		return outcome{}, err
	}
	defer p.close()
	return p.run(ctx, long)
}

// open makes clients, who connect when they ask first.
func (l load) open() (*pool, error) {
	p := &pool{load: l, address: &unix.SockaddrInet4{Port: l.port, Addr: [4]byte{127, 0, 0, 1}}}
	p.request = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", l.path, l.port)
	if l.fresh {
		p.request = append(p.request, "Connection: close\r\n"...)
	}
	p.request = append(p.request, "\r\n"...)
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	for range l.connections {
		p.all = append(p.all, connection{fd: -1, got: make([]byte, 0, len(l.body)+headerRoom)})
	}
	return p, nil
}

// pool is the clients of a load that runs.
type pool struct {
	load
	address *unix.SockaddrInet4
	request []byte
	epoll   int
	all     []connection
	busy    int   // clients that wait for an answer
	waiting []int // those that wait to ask again
}

func (p *pool) close() {
	for i := range p.all {
		p.all[i].close()
	}
	unix.Close(p.epoll)
}

// run asks for a time, each client at least once, and then waits for the answers that
// are due.
func (p *pool) run(ctx context.Context, long time.Duration) (o outcome, err error) {
	// Nothing else must get onto its thread, whose CPU time is what is measured.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used, begin := threadCPU(), time.Now()
	for i := range p.all {
		if err := p.ask(i, time.Now()); err != nil {
			return o, err
		}
	}
	inTime, end, last := 0, begin.Add(long), begin
	events := make([]unix.EpollEvent, max(len(p.all), 1))
	for p.busy+len(p.waiting) > 0 {
		timeout, err := p.askWaiting(end)
		if err != nil {
			return o, err
		}
		n, err := unix.EpollWait(p.epoll, events, timeout)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return o, fmt.Errorf("epoll: %w", err)
		}
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		for _, e := range events[:max(n, 0)] {
			began := p.all[e.Fd].began
			done, err := p.step(int(e.Fd))
			if err != nil {
				return o, err
			}
			if !done {
				continue
			}
			last = time.Now()
			o.latencies = append(o.latencies, last.Sub(began))
			if !last.Before(end) {
				continue
			}
			inTime++
			if p.pause > 0 {
				p.waiting = append(p.waiting, int(e.Fd))
			} else if err := p.ask(int(e.Fd), last); err != nil {
				return o, err
			}
		}
		if p.busy > 0 && time.Since(last) > noAnswer {
			return o, fmt.Errorf("%d requests had no answer for %v", p.busy, noAnswer)
		}
	}
	o.cpu = (threadCPU() - used).Seconds() / time.Since(begin).Seconds()
	o.perSecond = float64(inTime) / max(long, 1).Seconds()
	return o, nil
}

// ask sends the next request of a client, or begins to connect for it.
func (p *pool) ask(i int, now time.Time) error {
	c := &p.all[i]
	c.began = now
	p.busy++
	if c.fd >= 0 {
		return c.send(p.request)
	}
	if err := c.open(p.address); err != nil {
		return err
	}
	return p.watch(unix.EPOLL_CTL_ADD, i, unix.EPOLLOUT)
}

// askWaiting lets those ask whose pause is over, and returns how long there is to wait
// for the next, in milliseconds. Nobody asks after the end.
func (p *pool) askWaiting(end time.Time) (timeout int, err error) {
	now, next := time.Now(), 100*time.Millisecond
	still := p.waiting[:0]
	for _, i := range p.waiting {
		switch left := p.all[i].began.Add(p.pause).Sub(now); {
		case !now.Add(left).Before(end):
		case left > 0:
			still = append(still, i)
			next = min(next, left)
		default:
			if err := p.ask(i, now); err != nil {
				return 0, err
			}
		}
	}
	p.waiting = still
	return int((next + time.Millisecond - 1) / time.Millisecond), nil
}

func (p *pool) watch(how, i int, events uint32) error {
	return unix.EpollCtl(p.epoll, how, p.all[i].fd, &unix.EpollEvent{Events: events, Fd: int32(i)})
}

// step goes on with a client for whom something is ready.
func (p *pool) step(i int) (done bool, err error) {
	c := &p.all[i]
	if !c.connecting {
		if done, err = c.receive(p.body); done {
			p.busy--
			if p.fresh { // the server closes it, too
				c.close()
			}
		}
		return done, err
	}
	if err := c.connected(); err != nil {
		return false, err
	}
	if err := p.watch(unix.EPOLL_CTL_MOD, i, unix.EPOLLIN); err != nil {
		return false, err
	}
	return false, c.send(p.request)
}

// threadCPU is the time that this thread has had of a CPU.
func threadCPU() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

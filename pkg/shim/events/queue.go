// Package events brings the shim's events to containerd, in order, however long
// containerd is away.
//
// Delivery is at least once: when the connection breaks before containerd has
// answered, the event is sent again, because a lost TaskExit is worse than two.
// No event overtakes another.
package events

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/containerd/log"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

const (
	// maxQueued bounds the events that wait for containerd. An exec makes three.
	maxQueued = 64 << 10
	// attemptTimeout bounds one call. It is long because a containerd that is
	// stopped rather than dead still has the event in its socket: giving up
	// early would deliver it twice.
	attemptTimeout = 30 * time.Second
	// minBackoff and maxBackoff are the pauses between attempts; they double.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	// lastBackoff is maxBackoff for what is left when the queue is closed.
	lastBackoff = 500 * time.Millisecond
	// maxRefusals is how often containerd may answer an event with an error
	// before the event is dropped for those behind it.
	maxRefusals = 5
)

// ForwardFunc delivers one event to containerd: see Client.Forward. After an error
// the event is tried again, until the queue is closed or containerd has answered
// it with an error several times.
type ForwardFunc func(ctx context.Context, e *Envelope) error

// Queue is an ordered queue of events with one goroutine that delivers them.
type Queue struct {
	namespace string
	forward   ForwardFunc
	log       *log.Entry
	limit     int

	mu      sync.Mutex
	waiting []*Envelope
	closed  bool
	// overflowing is true while events are being dropped, so that this is
	// logged once and not per event.
	overflowing bool
	// idle is for Flush: closed when all that was published has been delivered, or
	// dropped. It is nil while that is so.
	idle chan struct{}

	wake    chan struct{} // holds one token when waiting may have grown
	closing chan struct{} // closed by Close
	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended
}

// New starts a queue for the events of a containerd namespace. Close ends it.
func New(namespace string, forward ForwardFunc, logger *log.Entry) *Queue {
	ctx, cancel := context.WithCancel(context.Background())
	q := &Queue{
		namespace: namespace,
		forward:   forward,
		log:       logger,
		limit:     maxQueued,
		wake:      make(chan struct{}, 1),
		closing:   make(chan struct{}),
		cancel:    cancel,
		done:      make(chan struct{}),
	}
	go q.run(ctx)
	return q
}

// Publish queues one of containerd's task events with the present time. It
// neither blocks nor fails, so it may be called anywhere; the order of calls is
// the order of delivery. Events after Close are dropped.
func (q *Queue) Publish(event Event) {
	e, err := q.envelope(event)
	if err != nil {
		q.log.WithError(err).Error("drop event")
		return
	}
	if dropped := q.push(e); dropped != nil {
		q.log.WithField("topic", dropped.Topic).Errorf("more than %d events wait for containerd: dropping the oldest", q.limit)
	}
}

func (q *Queue) envelope(event Event) (*Envelope, error) {
	// containerd's clients look events up by the bare name of the message.
	data, err := wire.NewAny(event.Type(), event)
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", event.Topic(), err)
	}
	return &Envelope{Timestamp: wire.Time(time.Now()), Namespace: q.namespace, Topic: event.Topic(), Event: data}, nil
}

// push returns the event that it dropped when that is worth a log line.
func (q *Queue) push(e *Envelope) (dropped *Envelope) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	if len(q.waiting) >= q.limit {
		d := q.dropOldest()
		if !q.overflowing {
			dropped = d
		}
		q.overflowing = true
	}
	q.waiting = append(q.waiting, e)
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return dropped
}

// dropOldest prefers an OOM event: the exit that follows it says 137 as well.
// q.mu is held.
func (q *Queue) dropOldest() *Envelope {
	oldest := 0
	for i, e := range q.waiting {
		if e.Topic == topicOOM {
			oldest = i
			break
		}
	}
	e := q.waiting[oldest]
	q.waiting = append(q.waiting[:oldest], q.waiting[oldest+1:]...)
	return e
}

// Close delivers what is queued until ctx ends, then ends the goroutine. The
// error says how many events were lost.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.closing)
	}
	q.mu.Unlock()
	select {
	case <-q.done:
	case <-ctx.Done():
		q.cancel()
		<-q.done
	}
	q.cancel()
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.waiting); n > 0 {
		return fmt.Errorf("%d events did not reach containerd, the first is %s", n, q.waiting[0].Topic)
	}
	return nil
}

// Flush waits until what has been published is delivered, or ctx ends.
func (q *Queue) Flush(ctx context.Context) {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-q.done:
	case <-ctx.Done():
	}
}

// run delivers until the queue is closed and empty, or ctx ends.
func (q *Queue) run(ctx context.Context) {
	defer close(q.done)
	for {
		e := q.pop()
		if e == nil {
			select {
			case <-q.wake:
				continue
			case <-q.closing:
			}
			// Publish may have queued one between pop and Close.
			if e = q.pop(); e == nil {
				return
			}
		}
		if !q.deliver(ctx, e) {
			q.unpop(e)
			return
		}
	}
}

func (q *Queue) pop() *Envelope {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.waiting = nil // give the memory of a long outage back
		q.overflowing = false
		if q.idle != nil {
			close(q.idle)
			q.idle = nil
		}
		return nil
	}
	e := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	return e
}

func (q *Queue) unpop(e *Envelope) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append([]*Envelope{e}, q.waiting...)
}

// deliver returns false when ctx ended first.
func (q *Queue) deliver(ctx context.Context, e *Envelope) bool {
	backoff, longest := minBackoff, maxBackoff
	closing := q.closing
	refusals := 0
	for attempt := 1; ; attempt++ {
		err := q.try(ctx, e)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		logger := q.log.WithError(err).WithField("topic", e.Topic)
		if isRefused(err) {
			if refusals++; refusals >= maxRefusals || isInvalid(err) {
				logger.Error("drop event that containerd refuses")
				return true
			}
		}
		if attempt == 1 {
			logger.Warn("containerd does not take events, trying again")
		}
		// Jitter, or all shims of a node come back to containerd at once.
		pause := time.NewTimer(backoff - rand.N(backoff/4))
		select {
		case <-pause.C:
			backoff = min(2*backoff, longest)
		case <-closing:
			// One attempt at once, then in short steps: there is little time.
			backoff, longest, closing = minBackoff, lastBackoff, nil
		case <-ctx.Done():
		}
		pause.Stop()
		if ctx.Err() != nil {
			return false
		}
	}
}

func (q *Queue) try(ctx context.Context, e *Envelope) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return q.forward(ctx, e)
}

const topicOOM = "/tasks/oom"

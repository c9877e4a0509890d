package cgi

import (
	"context"
	"errors"
	"sync"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
)

// warmInstances are ready before there is a request for them.
const warmInstances = 2

// pool hands out instances, no more than there may be at a time. Who has to wait does so
// in no order.
type pool struct {
	program gateway.Program
	slots   chan struct{} // one for each that runs
	wanted  chan struct{} // tells refill
	making  sync.RWMutex  // held while an instance is being made

	mu      sync.Mutex
	warm    []gateway.Instance
	running int
	changed chan struct{} // closed when one has ended
}

func newPool(p gateway.Program, workers int) *pool {
	return &pool{program: p, slots: make(chan struct{}, workers), wanted: make(chan struct{}, 1), changed: make(chan struct{})}
}

// get waits for an instance, which is given back by put when it has ended.
func (p *pool) get(ctx context.Context) (gateway.Instance, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		// A client that has gone wants nothing any more, though a slot was free, too.
		if err := ctx.Err(); err != nil {
			<-p.slots
			return nil, err
		}
		i, changed, err := p.take()
		if err == nil {
			p.want()
			return i, nil
		}
		if changed == nil {
			<-p.slots
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// take returns an instance. If there is no room for one, but may be, changed is closed
// then.
func (p *pool) take() (_ gateway.Instance, changed <-chan struct{}, err error) {
	p.making.RLock()
	i, err := p.try()
	p.making.RUnlock()
	if err == nil || !errors.Is(err, gateway.ErrNoRoom) {
		return i, nil, err
	}
	// Those that others are making are not counted. So once more, alone.
	p.making.Lock()
	defer p.making.Unlock()
	p.mu.Lock()
	before := p.changed
	p.mu.Unlock()
	if i, err = p.try(); err == nil || !errors.Is(err, gateway.ErrNoRoom) {
		return i, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == 0 && p.changed == before {
		return nil, nil, err // nobody is there to wait for
	}
	return nil, before, err
}

// try takes a warm instance, or makes one.
func (p *pool) try() (gateway.Instance, error) {
	p.mu.Lock()
	if n := len(p.warm); n > 0 {
		i := p.warm[n-1]
		p.warm = p.warm[:n-1]
		p.running++
		p.mu.Unlock()
		return i, nil
	}
	p.mu.Unlock()
	i, err := p.program.Instance()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.running++
	p.mu.Unlock()
	return i, nil
}

// put is called when an instance has ended.
func (p *pool) put() {
	p.mu.Lock()
	p.running--
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	<-p.slots
	p.want()
}

func (p *pool) want() {
	select {
	case p.wanted <- struct{}{}:
	default: // it has been told
	}
}

// refill makes instances beforehand until done. Without room for one it waits until
// there may be some.
func (p *pool) refill(done <-chan struct{}) {
	most := min(warmInstances, cap(p.slots))
	for {
		for p.addWarm(most) {
		}
		select {
		case <-p.wanted:
		case <-done:
			return
		}
	}
}

func (p *pool) addWarm(most int) bool {
	p.mu.Lock()
	enough := len(p.warm) >= most
	p.mu.Unlock()
	if enough {
		return false
	}
	p.making.RLock()
	defer p.making.RUnlock()
	i, err := p.program.Instance()
	if err != nil {
		return false // a request that finds none says so
	}
	p.mu.Lock()
	p.warm = append(p.warm, i)
	// One that waits for room takes this one.
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	return true
}

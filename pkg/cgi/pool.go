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
		i, err := p.try()
		if err == nil {
			p.want()
			return i, nil
		}
		changed := p.othersRun()
		if !errors.Is(err, gateway.ErrNoRoom) || changed == nil {
			<-p.slots
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			<-p.slots
			return nil, ctx.Err()
		}
	}
}

// try takes a warm instance, or makes one.
func (p *pool) try() (gateway.Instance, error) {
	p.mu.Lock()
	p.running++
	if n := len(p.warm); n > 0 {
		i := p.warm[n-1]
		p.warm = p.warm[:n-1]
		p.mu.Unlock()
		return i, nil
	}
	p.mu.Unlock()
	i, err := p.program.Instance()
	if err != nil {
		p.mu.Lock()
		p.running--
		p.mu.Unlock()
	}
	return i, err
}

// othersRun returns what is closed when one of those that run has ended, or nil if there
// are none.
func (p *pool) othersRun() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == 0 {
		return nil
	}
	return p.changed
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

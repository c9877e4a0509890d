package main

import (
	"context"

	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/log"
)

// events are published in order, and without that containerd's calls wait for it.
type events struct {
	queue          chan any
	closing, empty chan struct{}
}

func newEvents(ctx context.Context, publisher shim.Publisher) *events {
	// A container has four; whatever comes of more of them, calls hardly ever block.
	e := &events{queue: make(chan any, 128), closing: make(chan struct{}), empty: make(chan struct{})}
	go e.forward(ctx, publisher)
	return e
}

func (e *events) send(event any) { e.queue <- event }

func (e *events) forward(ctx context.Context, publisher shim.Publisher) {
	defer close(e.empty)
	defer publisher.Close()
	for {
		select {
		case event := <-e.queue:
			publish(ctx, publisher, event)
		case <-e.closing:
			for len(e.queue) > 0 {
				publish(ctx, publisher, <-e.queue)
			}
			return
		}
	}
}

func publish(ctx context.Context, publisher shim.Publisher, event any) {
	if err := publisher.Publish(ctx, runtime.GetTopic(event), event); err != nil {
		log.G(ctx).WithError(err).Errorf("publish %T", event)
	}
}

// close waits until containerd has all events: TaskDelete is sent right before the
// end of the process.
func (e *events) close(ctx context.Context) error {
	close(e.closing)
	select {
	case <-e.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package cgi

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
)

// counted is a program whose instances are counted.
type counted struct{ made, discarded atomic.Int64 }

func (c *counted) Instance() (gateway.Instance, error) {
	c.made.Add(1)
	return &idleInstance{c}, nil
}

type idleInstance struct{ program *counted }

func (*idleInstance) Stdin() *os.File           { return nil }
func (*idleInstance) Stdout() *os.File          { return nil }
func (*idleInstance) Run([]string) (int, error) { return 0, nil }
func (i *idleInstance) Discard()                { i.program.discarded.Add(1) }

// TestNothingRunsForAClientThatHasGone, though there would be room for all of them.
func TestNothingRunsForAClientThatHasGone(t *testing.T) {
	t.Parallel()
	gone, leave := context.WithCancel(t.Context())
	leave()
	c := &counted{}
	p := newPool(c, 1)
	for range 100 {
		if i, err := p.get(gone); i != nil || !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, %v", i, err)
		}
	}
	if n := c.made.Load(); n != 0 {
		t.Errorf("%d instances were made", n)
	}
	if _, err := p.get(t.Context()); err != nil { // they have left the slot free
		t.Error(err)
	}
}

package testenv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/typeurl/v2"
)

// Events records the task events of a daemon in the order in which they came.
type Events struct {
	mu    sync.Mutex
	lines map[string][]string // by container
}

// Record subscribes to a daemon's events until the test ends or the daemon does.
func (c *Containerd) Record(t testing.TB) *Events {
	t.Helper()
	cl, ctx := c.Client(t)
	e := &Events{lines: map[string][]string{}}
	e.follow(t, cl, ctx)
	// Subscribe returns before the daemon has subscribed us.
	const probe = "is anybody listening"
	Eventually(t, "subscription", func() error {
		if err := cl.EventService().Publish(ctx, "/tasks/paused", &events.TaskPaused{ContainerID: probe}); err != nil {
			return err
		}
		if len(e.Of(probe)) == 0 {
			return errors.New("no event yet")
		}
		return nil
	})
	return e
}

func (e *Events) follow(t testing.TB, cl *client.Client, ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	ch, errs := cl.EventService().Subscribe(ctx, `topic~="^/tasks/"`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case env := <-ch:
				if v, err := typeurl.UnmarshalAny(env.Event); err == nil {
					e.add(v)
				}
			case <-errs: // the daemon is gone, or the test is over
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// add turns an event into a line: the topic, the exec it is about, its status.
func (e *Events) add(event any) {
	var id, line string
	switch v := event.(type) {
	case *events.TaskCreate:
		id, line = v.ContainerID, "create"
	case *events.TaskStart:
		id, line = v.ContainerID, "start"
	case *events.TaskExit:
		id, line = v.ContainerID, fmt.Sprintf("exit %d", v.ExitStatus)
		if v.ID != v.ContainerID {
			line = fmt.Sprintf("exit %s %d", v.ID, v.ExitStatus)
		}
	case *events.TaskDelete:
		id, line = v.ContainerID, fmt.Sprintf("delete %d", v.ExitStatus)
	case *events.TaskExecAdded:
		id, line = v.ContainerID, "exec-added "+v.ExecID
	case *events.TaskExecStarted:
		id, line = v.ContainerID, "exec-started "+v.ExecID
	case *events.TaskOOM:
		id, line = v.ContainerID, "oom"
	case *events.TaskPaused:
		id, line = v.ContainerID, "paused"
	case *events.TaskResumed:
		id, line = v.ContainerID, "resumed"
	default:
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines[id] = append(e.lines[id], line)
}

// Of returns the events of a container so far.
func (e *Events) Of(id string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.lines[id])
}

// Require waits until exactly these events of a container have come.
func (e *Events) Require(t testing.TB, id string, want ...string) {
	t.Helper()
	Eventually(t, "events of "+id, func() error {
		if got := e.Of(id); !slices.Equal(got, want) {
			return fmt.Errorf("got [%s], want [%s]", strings.Join(got, ", "), strings.Join(want, ", "))
		}
		return nil
	})
}

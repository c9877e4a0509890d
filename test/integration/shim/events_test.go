package shim

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/api/events"
	eventsapi "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// recorder is containerd's events service.
type recorder struct {
	t    testing.TB
	path string

	mu     sync.Mutex
	lines  []string
	hang   chan struct{} // closed, or nil: answer at once
	server *ttrpc.Server
	served chan struct{}
}

// newRecorder listens at path until the test ends.
func newRecorder(t testing.TB, path string) *recorder {
	r := &recorder{t: t, path: path}
	r.listen()
	t.Cleanup(r.stop)
	return r
}

func (r *recorder) listen() {
	l, err := net.Listen("unix", r.path)
	must(r.t, err)
	r.server, err = ttrpc.NewServer()
	must(r.t, err)
	eventsapi.RegisterTTRPCEventsService(r.server, r)
	r.served = make(chan struct{})
	go func() {
		defer close(r.served)
		_ = r.server.Serve(context.Background(), l)
	}()
}

// stop is containerd's end: the socket is gone.
func (r *recorder) stop() {
	if r.server == nil {
		return
	}
	_ = r.server.Close()
	<-r.served
	_ = os.Remove(r.path)
	r.server = nil
}

// Forward implements the events service.
func (r *recorder) Forward(ctx context.Context, req *eventsapi.ForwardRequest) (*emptypb.Empty, error) {
	r.mu.Lock()
	hang := r.hang
	r.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	line, err := describe(req.Envelope)
	if err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	return &emptypb.Empty{}, nil
}

// suspend makes the service hang until it is resumed.
func (r *recorder) suspend() (resume func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hang := make(chan struct{})
	r.hang = hang
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.hang = nil
		close(hang)
	}
}

// describe turns an event into "<container>: <event>".
func describe(e *types.Envelope) (string, error) {
	v, err := typeurl.UnmarshalAny(e.Event)
	if err != nil {
		return "", fmt.Errorf("event %s: %w", e.Topic, err)
	}
	topic := strings.TrimPrefix(e.Topic, "/tasks/")
	switch v := v.(type) {
	case *events.TaskCreate:
		if v.Pid == 0 || v.Bundle == "" {
			return "", fmt.Errorf("incomplete: %v", v)
		}
		return v.ContainerID + ": " + topic, nil
	case *events.TaskStart:
		if v.Pid == 0 {
			return "", fmt.Errorf("incomplete: %v", v)
		}
		return v.ContainerID + ": " + topic, nil
	case *events.TaskExit:
		if v.ExitedAt == nil {
			return "", fmt.Errorf("incomplete: %v", v)
		}
		if v.ID != v.ContainerID {
			return fmt.Sprintf("%s: %s %s %d", v.ContainerID, topic, v.ID, v.ExitStatus), nil
		}
		return fmt.Sprintf("%s: %s %d", v.ContainerID, topic, v.ExitStatus), nil
	case *events.TaskDelete:
		return fmt.Sprintf("%s: %s %d", v.ContainerID, topic, v.ExitStatus), nil
	case *events.TaskExecAdded:
		return fmt.Sprintf("%s: %s %s", v.ContainerID, topic, v.ExecID), nil
	case *events.TaskExecStarted:
		return fmt.Sprintf("%s: %s %s", v.ContainerID, topic, v.ExecID), nil
	case interface{ GetContainerID() string }: // oom, paused, resumed
		return v.GetContainerID() + ": " + topic, nil
	}
	return "", fmt.Errorf("unknown event %T", v)
}

// of returns the events of a container so far, without its name.
func (r *recorder) of(id string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, line := range r.lines {
		if l, ok := strings.CutPrefix(line, id+": "); ok {
			lines = append(lines, l)
		}
	}
	return lines
}

// await waits until at least len(want) events of a container have come, which
// must be these.
func (r *recorder) await(t testing.TB, id string, want ...string) {
	t.Helper()
	testenv.Eventually(t, "events of "+id, func() error {
		if got := r.of(id); len(got) < len(want) {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
	if got := r.of(id); !slices.Equal(got, want) {
		t.Errorf("events of %s are %q, want %q", id, got, want)
	}
}

// awaitOne waits for an event that begins with prefix.
func (r *recorder) awaitOne(t testing.TB, id, prefix string) {
	t.Helper()
	testenv.Eventually(t, prefix+" event of "+id, func() error {
		for _, e := range r.of(id) {
			if strings.HasPrefix(e, prefix) {
				return nil
			}
		}
		return fmt.Errorf("got %q", r.of(id))
	})
}

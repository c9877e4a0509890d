package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	eventsapi "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	coreevents "github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
)

// published are events by topic.
type published []string

// Publish implements shim.Publisher.
func (p *published) Publish(_ context.Context, topic string, event coreevents.Event) error {
	text := topic
	switch e := event.(type) {
	case *eventsapi.TaskCreate:
		text += fmt.Sprintf(" %s %s %s %t", e.ContainerID, e.Bundle, filepath.Base(e.IO.Stdout), e.Pid > 0)
	case *eventsapi.TaskStart:
		text += fmt.Sprintf(" %s %t", e.ContainerID, e.Pid > 0)
	case *eventsapi.TaskExit:
		text += fmt.Sprintf(" %s %s %d %t %t", e.ContainerID, e.ID, e.ExitStatus, e.Pid > 0, e.ExitedAt.IsValid())
	case *eventsapi.TaskDelete:
		text += fmt.Sprintf(" %s %d %t %t", e.ContainerID, e.ExitStatus, e.Pid > 0, e.ExitedAt.IsValid())
	}
	*p = append(*p, text)
	return nil
}

// Close implements shim.Publisher.
func (p *published) Close() error { return nil }

// Whatever containerd asks for, it has every event in order when the shim has ended.
func TestEventsOfALife(t *testing.T) {
	for id, want := range map[string]published{
		"warm1": {"/tasks/create warm1 /b stdout true", "/tasks/start warm1 true", "/tasks/exit warm1 warm1 0 true true", "/tasks/delete warm1 0 true true"},
		"idle1": {"/tasks/create idle1 /b stdout true", "/tasks/start idle1 true", "/tasks/exit idle1 idle1 137 true true", "/tasks/delete idle1 137 true true"},
	} {
		dir := t.TempDir()
		socket, stdout := filepath.Join(dir, "socket"), filepath.Join(dir, "stdout")
		for _, path := range []string{socket, stdout} {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv(addressEnv, "unix://"+socket)
		ctx, sd := shutdown.WithShutdown(t.Context())
		var got published
		s := newService(ctx, &got, sd)
		require(t, call(s.Create, &taskapi.CreateTaskRequest{ID: id, Bundle: "/b", Stdout: stdout}))
		require(t, call(s.Start, &taskapi.StartRequest{ID: id}))
		if err := call(s.Start, &taskapi.StartRequest{ID: id}); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s: another start: %v", id, err)
		}
		require(t, call(s.Shutdown, &taskapi.ShutdownRequest{ID: id}))
		if id == "idle1" {
			if err := call(s.Delete, &taskapi.DeleteRequest{ID: id}); !errdefs.IsFailedPrecondition(err) {
				t.Errorf("%s: delete while it runs: %v", id, err)
			}
			require(t, call(s.Kill, &taskapi.KillRequest{ID: id, Signal: 9}))
		}
		if err := call(s.Kill, &taskapi.KillRequest{ID: id, Signal: 9}); !errdefs.IsNotFound(err) {
			t.Errorf("%s: kill after its end: %v", id, err)
		}
		require(t, call(s.Wait, &taskapi.WaitRequest{ID: id}))
		require(t, call(s.Delete, &taskapi.DeleteRequest{ID: id}))
		if err := call(s.State, &taskapi.StateRequest{ID: id}); !errdefs.IsNotFound(err) {
			t.Errorf("%s: state after delete: %v", id, err)
		}
		require(t, call(s.Shutdown, &taskapi.ShutdownRequest{ID: id}))
		<-sd.Done()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
		if _, err := os.Stat(socket); !os.IsNotExist(err) {
			t.Errorf("%s: its socket: %v", id, err)
		}
	}
}

// call returns the error as containerd sees it.
func call[Req, Resp any](f func(context.Context, *Req) (*Resp, error), r *Req) error {
	_, err := f(context.Background(), r)
	return errgrpc.ToNative(err)
}

func require(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

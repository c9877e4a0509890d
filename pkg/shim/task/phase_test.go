package task

import (
	"errors"
	"slices"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
)

var allPhases = []phase{created, starting, running, paused, stopped, deleted}

func TestEveryPhaseHasTransitionsAndAStatus(t *testing.T) {
	t.Parallel()
	for _, p := range allPhases {
		if _, ok := transitions[p]; !ok {
			t.Errorf("%s has no row in the table", p)
		}
		if p.status() == taskapi.StatusUnknown {
			t.Errorf("%s has no status", p)
		}
	}
}

func TestOnlyDeletedIsFinal(t *testing.T) {
	t.Parallel()
	for _, p := range allPhases {
		if final := len(transitions[p]) == 0; final != (p == deleted) {
			t.Errorf("%s: final is %v", p, final)
		}
	}
}

func TestWrongStepIsFailedPrecondition(t *testing.T) {
	t.Parallel()
	p := newProcess(&container{id: "c"}, "", ioNames{})
	err := p.step(running, "resume")
	if !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("got %v", err)
	}
	if want := `cannot resume container "c": it is created`; err == nil || err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if p.current() != created {
		t.Errorf("the phase changed to %s", p.current())
	}
}

func TestEndWhileStartingIsPublishedAfterTheStart(t *testing.T) {
	t.Parallel()
	var log []string
	s := NewService(Config{Publish: func(e events.Event) { log = append(log, nameOf(e)) }})
	p := newProcess(&container{id: "c"}, "", ioNames{})
	if err := p.step(starting, "start"); err != nil {
		t.Fatal(err)
	}
	s.exited(p, exitOf(3), true)
	if len(log) != 0 {
		t.Fatalf("published %v before the start", log)
	}
	s.started(p, startEvent())
	if want := []string{"TaskStart", "TaskOOM", "TaskExit"}; !slices.Equal(log, want) {
		t.Fatalf("published %v", log)
	}
	if p.status().status != 3 || p.current() != stopped {
		t.Fatalf("status %d, phase %s", p.status().status, p.current())
	}
}

func TestEndOfAFailedStartIsNotPublished(t *testing.T) {
	t.Parallel()
	s := NewService(Config{Publish: func(e events.Event) { t.Errorf("published %s", nameOf(e)) }})
	for _, order := range []string{"exit first", "failure first"} {
		p := newProcess(&container{id: "c"}, "", ioNames{})
		if err := p.step(starting, "start"); err != nil {
			t.Fatal(err)
		}
		if order == "exit first" {
			s.exited(p, exitOf(1), false)
			p.abort()
		} else {
			p.abort()
			s.exited(p, exitOf(1), false)
		}
		if p.current() != stopped {
			t.Errorf("%s: %s", order, p.current())
		}
	}
}

func TestSecondEndIsIgnored(t *testing.T) {
	t.Parallel()
	published := 0
	s := NewService(Config{Publish: func(events.Event) { published++ }})
	p := newProcess(&container{id: "c"}, "", ioNames{})
	s.exited(p, exitOf(1), false)
	s.exited(p, exitOf(2), false)
	if published != 1 || p.status().status != 1 {
		t.Errorf("published %d, status %d", published, p.status().status)
	}
}

func TestStepAfterDeleteIsNotFound(t *testing.T) {
	t.Parallel()
	p := newProcess(&container{id: "c"}, "e", ioNames{})
	for _, next := range []phase{stopped, deleted} {
		if err := p.step(next, "test"); err != nil {
			t.Fatal(err)
		}
	}
	for _, next := range allPhases {
		if err := p.step(next, "test"); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("to %s: %v", next, err)
		}
	}
}

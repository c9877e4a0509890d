package events_test

import (
	"strings"
	"testing"

	api "github.com/containerd/containerd/api/events"
	ttrpcapi "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire/wiretest"
)

// pairs are our messages with containerd's.
var pairs = []wiretest.Pair{
	wiretest.Of(&events.TaskCreate{}, &api.TaskCreate{}),
	wiretest.Of(&events.TaskStart{}, &api.TaskStart{}),
	wiretest.Of(&events.TaskExit{}, &api.TaskExit{}),
	wiretest.Of(&events.TaskDelete{}, &api.TaskDelete{}),
	wiretest.Of(&events.TaskOOM{}, &api.TaskOOM{}),
	wiretest.Of(&events.TaskExecAdded{}, &api.TaskExecAdded{}),
	wiretest.Of(&events.TaskExecStarted{}, &api.TaskExecStarted{}),
	wiretest.Of(&events.TaskPaused{}, &api.TaskPaused{}),
	wiretest.Of(&events.TaskResumed{}, &api.TaskResumed{}),
	wiretest.Of(&events.Envelope{}, &types.Envelope{}),
	wiretest.Of(&events.ForwardRequest{}, &ttrpcapi.ForwardRequest{}),
}

func TestMessagesAreContainerds(t *testing.T) {
	t.Parallel()
	wiretest.Test(t, pairs)
}

func FuzzDecode(f *testing.F) { wiretest.Fuzz(f, pairs) }

func TestEventsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	topics := make(map[string]bool)
	for _, p := range pairs {
		e, ok := p.Ours.(events.Event)
		if !ok {
			continue
		}
		if name := string(p.Theirs.ProtoReflect().Descriptor().FullName()); e.Type() != name {
			t.Errorf("%s is called %s", name, e.Type())
		}
		if topics[e.Topic()] || !strings.HasPrefix(e.Topic(), "/tasks/") {
			t.Errorf("%s has the topic %s", e.Type(), e.Topic())
		}
		topics[e.Topic()] = true
	}
	if len(topics) != 9 {
		t.Errorf("saw %d events", len(topics))
	}
}

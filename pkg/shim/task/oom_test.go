package task

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
)

// killedOnce is a cgroup in which the kernel has killed one process.
type killedOnce struct{ cgroup.Cgroup }

func (killedOnce) OOMKills() (uint64, error) { return 1, nil }

// The watcher for kills may be slow to publish one: the exit waits for it.
func TestKillForWantOfMemoryIsPublishedBeforeTheExit(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var log []string
	counted := make(chan struct{})
	s := NewService(Config{Publish: func(e events.Event) {
		if nameOf(e) == "TaskOOM" {
			close(counted)
			time.Sleep(50 * time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		log = append(log, nameOf(e))
	}})
	c := &container{id: "c", cgroup: killedOnce{}}
	c.init = newProcess(c, "", ioNames{})
	c.init.phase = running
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.oomKilled(c)
	}()
	<-counted
	s.exited(c.init, exitOf(137), c.oomNews()) // as waitInit does
	<-watched
	if want := []string{"TaskOOM", "TaskExit"}; !slices.Equal(log, want) {
		t.Errorf("published %v, want %v", log, want)
	}
}

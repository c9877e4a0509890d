package task

import (
	"strings"
	"testing"
)

// TestRunnerThatIsGoneBeforeItIsReady: a kill that was asked for is no want of memory.
func TestRunnerThatIsGoneBeforeItIsReady(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status uint32
		doomed bool
		want   string
	}{
		{137, false, "want of memory"},
		{137, true, `container "c" was killed while it started, as was asked for: the status is 137`},
		{143, true, "as was asked for: the status is 143"},
		{2, false, "ended with status 2"},
	} {
		p := newProcess(&container{id: "c"}, "", ioNames{})
		if c.doomed {
			p.doom(false)
		}
		p.phase = starting
		p.abort()
		p.stop(exit{status: c.status})
		if err := p.goneError(); !strings.Contains(err.Error(), c.want) {
			t.Errorf("status %d, doomed %t: %v; want %q", c.status, c.doomed, err, c.want)
		}
	}
}

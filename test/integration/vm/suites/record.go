package suites

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/vm"
)

// record shows what the guest says, and keeps how jobs have ended.
type record struct {
	machine string
	out     io.Writer
	begin   time.Time

	mu   sync.Mutex
	line []byte    // that is not complete yet
	last time.Time // the end of the job before
	ends map[string]end
}

type end struct {
	vm.End
	took time.Duration
}

func (r *record) hear(m vm.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line = append(r.line, m.Output...)
	for {
		i := bytes.IndexByte(r.line, '\n')
		if i < 0 {
			break
		}
		// Several guests speak at once.
		fmt.Fprintf(r.out, "%s | %s", r.machine, r.line[:i+1])
		r.line = r.line[i+1:]
	}
	if m.Ended != nil {
		if r.last.IsZero() {
			r.last = r.begin
		}
		r.ends[m.Job] = end{*m.Ended, time.Since(r.last)}
		r.last = time.Now()
	}
}

// check fails the test if the job of that name has not passed.
func (r *record) check(t *testing.T, name string) {
	t.Helper()
	e, ok := r.ends[name]
	switch {
	case !ok:
		t.Fatal("it did not come to an end")
	case e.Status != 0:
		t.Errorf("exit status %d after %s %s", e.Status, e.took.Round(time.Second), e.Problem)
	default:
		t.Logf("%s", e.took.Round(time.Second))
	}
}

package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// source is a CodeSource with what to answer; an empty string is no code.
type source struct {
	t        *testing.T
	code     string
	replaced string
	err      error
	reasons  []string
	last     *os.File
}

func (s *source) file(content string) (*os.File, error) {
	if content == "" || s.err != nil {
		return nil, s.err
	}
	path := filepath.Join(s.t.TempDir(), "entry")
	must(s.t, os.WriteFile(path, []byte(content), 0o600))
	f, err := os.Open(path)
	must(s.t, err)
	s.t.Cleanup(func() { f.Close() })
	s.last = f
	return f, nil
}

func (s *source) Code(context.Context) (*os.File, error) { return s.file(s.code) }

func (s *source) Replace(_ context.Context, reason string) (*os.File, error) {
	s.reasons = append(s.reasons, reason)
	return s.file(s.replaced)
}

func TestCodeReachesTheRunnerBeforeGo(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	must(t, h.Provide(t.Context(), &source{t: t, code: "the code"}))
	runner := job.NewControl(conn)
	must(t, runner.Report(job.Report{Kind: job.Ready, Code: job.CodeShared, Load: 2}))
	must(t, run(t, h))
	if order, code := receive(t, runner); order != job.Code || code != "the code" {
		t.Errorf("order %s with %q", order, code)
	}
	if order, _ := receive(t, runner); order != job.Go {
		t.Errorf("order %s after the code", order)
	}
}

func TestSourcesErrorIsProvides(t *testing.T) {
	t.Parallel()
	h, _ := newHandoff(t)
	refused := errors.New("module cannot be compiled")
	if err := h.Provide(t.Context(), &source{t: t, err: refused}); !errors.Is(err, refused) {
		t.Error(err)
	}
}

func TestProvideToADeadRunnerLeavesTheErrorToRun(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	must(t, job.NewControl(conn).Report(job.Report{Kind: job.Failed, Message: "no job"}))
	must(t, conn.Close())
	must(t, h.Provide(t.Context(), &source{t: t, code: "the code"}))
	if err := run(t, h); err == nil || !strings.Contains(err.Error(), "no job") {
		t.Error(err)
	}
}

// TestStaleCodeIsReplacedOnceThenLeftOut: what is sent for each report, and when
// it becomes nonsense.
func TestStaleCodeIsReplacedOnceThenLeftOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source   *source
		stale    int      // reports before the runner is ready
		sent     []string // after the first code
		reasons  int      // Replace is called this often
		nonsense bool
	}{
		"fits":                {&source{code: "1", replaced: "2"}, 0, nil, 0, false},
		"replaced":            {&source{code: "1", replaced: "2"}, 1, []string{"code 2"}, 1, false},
		"replacement is gone": {&source{code: "1"}, 1, []string{"nocode the module"}, 1, false},
		"replaced in vain":    {&source{code: "1", replaced: "2"}, 2, []string{"code 2", "nocode the module"}, 1, false},
		"never satisfied":     {&source{code: "1", replaced: "2"}, 3, []string{"code 2", "nocode the module"}, 1, true},
		"for ever":            {&source{code: "1", replaced: "2"}, 1000, []string{"code 2", "nocode the module"}, 1, true},
		"nothing was sent":    {&source{}, 1, nil, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, conn := newHandoff(t)
			c.source.t = t
			must(t, h.Provide(t.Context(), c.source))
			runner := job.NewControl(conn)
			go func() {
				for i := range c.stale {
					_ = runner.Report(job.Report{Kind: job.Stale, Message: fmt.Sprint("reason ", i)})
				}
				_ = runner.Report(job.Report{Kind: job.Ready})
			}()
			err := run(t, h)
			if c.nonsense != errors.Is(err, job.ErrNonsense) || err != nil && !c.nonsense {
				t.Errorf("Run: %v", err)
			}
			receive(t, runner) // the first code, or none
			receive(t, runner) // go
			h.Close()
			var sent []string
			for {
				order, file, err := runner.Receive()
				if err != nil {
					break
				}
				content, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
				must(t, err)
				must(t, file.Close())
				sent = append(sent, fmt.Sprintf("%s %s", order, content))
			}
			if !slices.Equal(sent, c.sent) {
				t.Errorf("sent %q, want %q", sent, c.sent)
			}
			if len(c.source.reasons) != c.reasons || c.reasons > 0 && c.source.reasons[0] != "reason 0" {
				t.Errorf("Replace was called for %q", c.source.reasons)
			}
			if got := len(h.Loaded().Stale); got != min(c.stale, 2) && !c.nonsense {
				t.Errorf("%d reasons are known", got)
			}
		})
	}
}

func TestReplacingMayFail(t *testing.T) {
	t.Parallel()
	h, conn := newHandoff(t)
	s := &source{t: t, code: "1"}
	must(t, h.Provide(t.Context(), s))
	s.err = errors.New("the compiler was killed")
	must(t, job.NewControl(conn).Report(job.Report{Kind: job.Stale, Message: "no good"}))
	if err := run(t, h); !errors.Is(err, s.err) {
		t.Error(err)
	}
}

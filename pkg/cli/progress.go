package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/printable"
)

// result is what became of a module, or of an argument in which none was found.
type result struct {
	// Source is the argument: a file or the name of an image.
	Source string `json:"source"`
	// Name is that of a module in an image.
	Name   string `json:"name,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Size and CodeSize are those of module and compiled code, in bytes.
	Size     int64 `json:"size,omitempty"`
	CodeSize int64 `json:"code_size,omitempty"`
	// Outcome is the cache's, "failed", or "empty" for an image without modules.
	Outcome string `json:"outcome"`
	// Milliseconds are how long it took.
	Milliseconds int64  `json:"milliseconds"`
	Error        string `json:"error,omitempty"`

	took time.Duration
	err  error
}

func (r result) title() string {
	if r.Name == "" {
		return show(r.Source)
	}
	return show(r.Source) + " " + show(r.Name)
}

// progress tells the user what happens, a line for each module. On a terminal a
// last line, which changes, tells what is being compiled.
type progress struct {
	p    Process
	json bool
	tty  bool

	mu       sync.Mutex
	outcomes map[string]int
	broken   bool // writing failed
	active   []*activity
	stop     chan struct{}
	stopped  sync.WaitGroup
}

type activity struct {
	name  string
	begin time.Time
}

// redraw is how often the last line changes.
const redraw = 200 * time.Millisecond

func newProgress(p Process, asJSON bool) *progress {
	o := &progress{p: p, json: asJSON, outcomes: map[string]int{}, stop: make(chan struct{})}
	if f, ok := p.Stdout.(*os.File); ok && !asJSON {
		_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		o.tty = err == nil
	}
	if o.tty {
		o.stopped.Go(o.draw)
	}
	return o
}

func (o *progress) draw() {
	ticker := time.NewTicker(redraw)
	defer ticker.Stop()
	for {
		select {
		case <-o.stop:
			return
		case <-ticker.C:
			o.mu.Lock()
			o.status()
			o.mu.Unlock()
		}
	}
}

const clearLine = "\r\x1b[K"

// status draws the last line.
func (o *progress) status() {
	if !o.tty {
		return
	}
	if len(o.active) == 0 {
		io.WriteString(o.p.Stdout, clearLine)
		return
	}
	var parts []string
	for _, a := range o.active {
		parts = append(parts, fmt.Sprintf("%s %ds", a.name, int(time.Since(a.begin).Seconds())))
	}
	line := "compiling " + strings.Join(parts, ", ")
	if ws, err := unix.IoctlGetWinsize(int(o.p.Stdout.(*os.File).Fd()), unix.TIOCGWINSZ); err == nil && ws.Col > 1 {
		if runes := []rune(line); len(runes) >= int(ws.Col) {
			line = string(runes[:ws.Col-2]) + "…"
		}
	}
	io.WriteString(o.p.Stdout, clearLine+line)
}

// begin tells that a module's turn has come; the caller calls what it returns when
// it is over.
func (o *progress) begin(i *item) func() {
	a := &activity{name: show(i.title()), begin: time.Now()}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active = append(o.active, a)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.active = slices.DeleteFunc(o.active, func(b *activity) bool { return a == b })
	}
}

// done tells that a module is in the cache.
func (o *progress) done(r result) {
	o.print(r, fmt.Sprintf("%-8s  %10s  %8s  %s", r.Outcome, size(r.Size), seconds(r.took), r.title()))
}

// empty tells that an image has no module.
func (o *progress) empty(name string) {
	o.print(result{Source: name, Outcome: "empty"}, fmt.Sprintf("%-8s  %10s  %8s  %s has no WebAssembly module", "empty", "-", "-", show(name)))
}

// failed tells why something has not been compiled.
func (o *progress) failed(r result) {
	r.Outcome, r.Error = "failed", printable.Text(r.err.Error())
	text := r.Error
	if !strings.HasPrefix(text, r.title()) {
		text = r.title() + ": " + text
	}
	o.print(r, fmt.Sprintf("%s: %s", program, text))
}

func (o *progress) print(r result, line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.outcomes[r.Outcome]++
	r.Milliseconds = r.took.Milliseconds()
	if o.tty {
		io.WriteString(o.p.Stdout, clearLine)
	}
	var err error
	switch {
	case o.json:
		err = json.NewEncoder(o.p.Stdout).Encode(r)
	case r.Outcome == "failed":
		_, err = fmt.Fprintln(o.p.Stderr, line)
	default:
		_, err = fmt.Fprintln(o.p.Stdout, line)
	}
	o.broken = o.broken || err != nil
	o.status()
}

// end returns the command's error.
func (o *progress) end(ctx context.Context) error {
	close(o.stop)
	o.stopped.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tty {
		io.WriteString(o.p.Stdout, clearLine)
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted: what was compiled so far is in the cache")
	case o.outcomes["failed"] > 0:
		return errReported
	case o.broken:
		return errors.New("the results could not be written")
	}
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

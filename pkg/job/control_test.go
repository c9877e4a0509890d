package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// ends are both ends of a control socket: the shim's is a net.Conn, the runner's
// a file, as in life.
func ends(t testing.TB) (shim *net.UnixConn, runner *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	ours := os.NewFile(uintptr(fds[0]), "shim")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	must(t, err)
	shim, runner = conn.(*net.UnixConn), os.NewFile(uintptr(fds[1]), "runner")
	t.Cleanup(func() { shim.Close(); runner.Close() })
	return shim, runner
}

func pair(t testing.TB) (shim, runner *Control, end func()) {
	t.Helper()
	a, b := ends(t)
	return NewControl(a), NewControl(b), func() { b.Close() }
}

// memory is a connection to nobody, for reports.
type memory struct{ bytes.Buffer }

func (*memory) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

func TestReportsArriveInOrder(t *testing.T) {
	t.Parallel()
	shim, runner, end := pair(t)
	sent := []Report{
		{Kind: Prepared}, {Kind: Entered, Message: "a warning"},
		{Kind: Stale, Message: "it is another module's"}, {Kind: Ready, Code: CodeShared, Load: 1.25},
		{Kind: OutOfMemory}, {Kind: Failed, Message: `"/app.wasm": <ünï> & more`},
	}
	failed := make(chan error, 1)
	go func() {
		defer end()
		defer close(failed)
		for _, r := range sent {
			if err := runner.Report(r); err != nil {
				failed <- err
				return
			}
		}
	}()
	for _, want := range sent {
		if got, err := shim.ReadReport(); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	if _, err := shim.ReadReport(); !errors.Is(err, io.EOF) {
		t.Errorf("after the runner's end: %v", err)
	}
	must(t, <-failed)
}

func TestLongMessageIsCutNotLost(t *testing.T) {
	t.Parallel()
	// What JSON makes six bytes of, and what cutting may break.
	for _, unit := range []string{"a", "<", "\x01", "ü", "\xff", "\u2028", "🙂"} {
		var wire memory
		must(t, NewControl(&wire).Report(Report{Kind: Failed, Message: strings.Repeat(unit, maxReport)}))
		got, err := NewControl(&wire).ReadReport()
		if err != nil || got.Kind != Failed || !strings.HasSuffix(got.Message, " …") {
			t.Errorf("%q: %.20q, %v", unit, got.Message, err)
		}
	}
}

func TestImpossibleReportsAreNonsense(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		`{"kind":"ready","code":"stolen"}`, `{"kind":"ready","load":-1}`, `{"kind":"ready","load":1e300}`, `{"kind":"stale","load":"1"}`, `{"kind":"root"}`,
	} {
		var wire memory
		wire.WriteString(s + "\n")
		if r, err := NewControl(&wire).ReadReport(); !errors.Is(err, ErrNonsense) {
			t.Errorf("%s: %+v, %v", s, r, err)
		}
	}
}

func TestEndOfTheOtherSideIsAnError(t *testing.T) {
	t.Parallel()
	shim, _, end := pair(t)
	end()
	if err := shim.Send(Go, nil); err == nil || !strings.Contains(err.Error(), "go") {
		t.Errorf("told a runner that is gone: %v", err)
	}
	a, b := ends(t)
	must(t, a.Close())
	if err := NewControl(b).Report(Report{Kind: Ready}); err == nil || !strings.Contains(err.Error(), "ready") {
		t.Errorf("reported to a shim that is gone: %v", err)
	}
	if _, _, err := NewControl(b).Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("waited for a shim that is gone: %v", err)
	}
}

func FuzzReadReport(f *testing.F) {
	for _, s := range []string{
		"", "\n", "{}\n", `{"kind":"ready"}` + "\n", `{"kind":"failed","message":"\u001b[31m\u0085\u202e"}` + "\n" + `{"kind":"out-of-memory"}` + "\n",
		`{"kind":"root"}` + "\n", `{"kind":"failed","message":"` + strings.Repeat("a", maxReport) + `"}` + "\n", strings.Repeat("[", 1000) + "\n",
		`{"kind":"stale","message":"a"}` + "\n" + `{"kind":"ready","code":"shared","load":12.5}` + "\n", `{"kind":"ready","load":-0}` + "\n",
		`{"kind":"failed","message":"` + strings.Repeat("\xf5", maxReport-40) + `"}` + "\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var wire memory
		wire.Write(data)
		c := NewControl(&wire)
		for {
			r, err := c.ReadReport()
			if err != nil {
				return
			}
			switch r.Kind {
			case Prepared, Entered, Ready, Stale, Failed, OutOfMemory:
			default:
				t.Fatalf("kind %q", r.Kind)
			}
			switch r.Code {
			case CodeShared, CodePrivate, CodeCompiled, CodeNone, "":
			default:
				t.Fatalf("code %q", r.Code)
			}
			if r.Load < 0 || r.Load > 1e9 {
				t.Fatalf("load %v", r.Load)
			}
			if len(r.Message) > maxReport || !utf8.ValidString(r.Message) || strings.ContainsFunc(r.Message, unicode.IsControl) {
				t.Fatalf("message %q", r.Message)
			}
		}
	})
}

func TestReportsAreJSON(t *testing.T) {
	t.Parallel()
	for _, kind := range []ReportKind{Prepared, Entered, Ready, Stale, Failed, OutOfMemory} {
		for _, code := range []CodeUse{"", CodeShared, CodePrivate, CodeCompiled, CodeNone} {
			for _, load := range []float64{0, 1e-9, 0.25, 1.0 / 3, 12345.678, 1e7} {
				for _, message := range []string{"", "a \"message\"\n"} {
					want := Report{Kind: kind, Code: code, Load: load, Message: message}
					data, err := want.encode()
					must(t, err)
					var got Report
					if err := json.Unmarshal(data, &got); err != nil || got != want {
						t.Errorf("%+v became %s: %+v, %v", want, data, got, err)
					}
				}
			}
		}
	}
}

package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func example() *Job {
	return &Job{
		Module: "/app.wasm", Export: "_start",
		Args: []string{"app", "", "two words", "ünï\n"}, Env: []string{"A=1", "B="},
		Preopens:    []Preopen{{Guest: "/", Host: "/"}, {Guest: "/data", Host: "/mnt"}},
		MemoryLimit: 1 << 40, KeepCapabilities: []string{"CAP_DAC_OVERRIDE"},
	}
}

func TestJobArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	want := example()
	data, err := want.Encode()
	must(t, err)
	if want.Version != 0 {
		t.Error("Encode has changed the job")
	}
	got, err := Decode(bytes.NewReader(data))
	must(t, err)
	want.Version = Version
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestJobsThatCannotBeAreErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data io.Reader
		text string
	}{
		"empty":      {strings.NewReader(""), "decode job"},
		"truncated":  {strings.NewReader(`{"version":1,"module":"/a`), "decode job"},
		"array":      {strings.NewReader(`[]`), "decode job"},
		"version":    {strings.NewReader(`{"version":2}`), "version 2"},
		"no version": {strings.NewReader(`{}`), "version 0"},
		"endless":    {endless{}, "larger than"},
		"unreadable": {failing{}, "read job"},
	} {
		if j, err := Decode(tc.data); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %+v, %v", name, j, err)
		}
	}
	j := example()
	j.Args = []string{strings.Repeat("a", MaxJobSize)}
	if _, err := j.Encode(); err == nil || !strings.Contains(err.Error(), "process.args") {
		t.Errorf("a job of %d bytes: %v", MaxJobSize, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("no") }

// pair is a connected pair of ends.
func pair(t testing.TB) (shim, runner *Control, end func()) {
	t.Helper()
	a, b := net.Pipe()
	end = func() { a.Close(); b.Close() }
	t.Cleanup(end)
	return NewControl(a), NewControl(b), func() { b.Close() }
}

func TestReportsArriveInOrder(t *testing.T) {
	t.Parallel()
	shim, runner, end := pair(t)
	sent := []Report{{Kind: Ready}, {Kind: OutOfMemory}, {Kind: Failed, Message: `"/app.wasm": <ünï> & more`}}
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
		var wire bytes.Buffer
		must(t, NewControl(&wire).Report(Report{Kind: Failed, Message: strings.Repeat(unit, maxReport)}))
		got, err := NewControl(&wire).ReadReport()
		if err != nil || got.Kind != Failed || !strings.HasSuffix(got.Message, " …") {
			t.Errorf("%q: %.20q, %v", unit, got.Message, err)
		}
	}
}

func TestGoReachesTheRunner(t *testing.T) {
	t.Parallel()
	shim, runner, _ := pair(t)
	sent := make(chan error, 1)
	go func() { sent <- shim.Go() }()
	must(t, runner.WaitGo())
	must(t, <-sent)
	for said, want := range map[string]string{"stop\n": "stop", "go": "EOF", "": "EOF"} {
		err := NewControl(bytes.NewBufferString(said)).WaitGo()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", said, err)
		}
	}
}

func TestEndOfTheOtherSideIsAnError(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	must(t, b.Close())
	if err := NewControl(a).Go(); err == nil {
		t.Error("told a runner that is gone")
	}
	if err := NewControl(a).Report(Report{Kind: Ready}); err == nil || !strings.Contains(err.Error(), "ready") {
		t.Errorf("reported to a shim that is gone: %v", err)
	}
}

func FuzzReadReport(f *testing.F) {
	for _, s := range []string{
		"", "\n", "{}\n", `{"kind":"ready"}` + "\n", `{"kind":"failed","message":"\u001b[31m\u0085\u202e"}` + "\n" + `{"kind":"out-of-memory"}` + "\n",
		`{"kind":"root"}` + "\n", `{"kind":"failed","message":"` + strings.Repeat("a", maxReport) + `"}` + "\n", strings.Repeat("[", 1000) + "\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := NewControl(bytes.NewBuffer(data))
		for {
			r, err := c.ReadReport()
			if err != nil {
				return
			}
			if r.Kind != Ready && r.Kind != Failed && r.Kind != OutOfMemory {
				t.Fatalf("kind %q", r.Kind)
			}
			if len(r.Message) > maxReport || !utf8.ValidString(r.Message) || strings.ContainsFunc(r.Message, unicode.IsControl) {
				t.Fatalf("message %q", r.Message)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	data, err := example().Encode()
	must(f, err)
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":1,"preopens":[{}],"args":null,"memoryLimit":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := j.Encode()
		must(t, err)
		k, err := Decode(bytes.NewReader(again))
		must(t, err)
		a, err := json.Marshal(j)
		must(t, err)
		b, err := json.Marshal(k)
		must(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s became %s", a, b)
		}
	})
}

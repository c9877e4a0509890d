package compilejob

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testMax bounds the code in these tests, in bytes.
const testMax = 1000

func TestJobArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	want := &Job{Module: "/app ü.wasm", Workers: 2, Memory: 1 << 40, CPUSeconds: 1200, User: 2002876928}
	data, err := want.Encode()
	must(t, err)
	if want.Version != 0 {
		t.Error("Encode has changed the job")
	}
	got, err := Decode(iotest.OneByteReader(bytes.NewReader(data)))
	must(t, err)
	want.Version = Version
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestJobWithAnEndlessNameFits(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"a", "<", "\x01", "ü", "\xff"} {
		data, err := (&Job{Module: strings.Repeat(unit, maxJob)}).Encode()
		must(t, err)
		if j, err := Decode(bytes.NewReader(data)); err != nil || !strings.HasSuffix(j.Module, " …") {
			t.Errorf("%q: %v", unit, err)
		}
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
		"two":        {strings.NewReader(`{"version":1}{}`), "decode job"},
		"version":    {strings.NewReader(`{"version":2}`), "version 2"},
		"no version": {strings.NewReader(`{}`), "version 0"},
		"endless":    {strings.NewReader(strings.Repeat(" ", maxJob+1)), "larger than"},
		"unreadable": {iotest.ErrReader(errors.New("no")), "read job"},
	} {
		if j, err := Decode(tc.data); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %+v, %v", name, j, err)
		}
	}
}

func TestCodeArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	want := Result{Kind: Compiled, Key: Key{1, 0xfe, 31: 0x7f}, Prefix: 2, Code: 5, Suffix: 1}
	var wire bytes.Buffer
	must(t, Write(&wire, want, []byte("ab"), []byte("c\nde\n"), []byte("f")))
	r := NewReader(iotest.HalfReader(&wire))
	got, err := r.Result(8)
	must(t, err)
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	code, err := io.ReadAll(r.Code())
	if err != nil || string(code) != "abc\nde\nf" {
		t.Errorf("code is %q, %v", code, err)
	}
}

func TestReasonsArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{Refused, Unsupported, OutOfMemory, Failed} {
		want := Result{Kind: kind, Message: `module "/app.wasm" <ünï> & more`}
		var wire bytes.Buffer
		must(t, Write(&wire, want))
		if got, err := NewReader(&wire).Result(testMax); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestLongMessageIsCutNotLost(t *testing.T) {
	t.Parallel()
	// What JSON makes six bytes of, and what cutting may break.
	for _, unit := range []string{"a", "<", "\x01", "ü", "\xff", "\u2028", "🙂"} {
		var wire bytes.Buffer
		must(t, Write(&wire, Result{Kind: Refused, Message: strings.Repeat(unit, maxResult)}))
		got, err := NewReader(&wire).Result(testMax)
		if err != nil || !strings.HasSuffix(got.Message, " …") || len(got.Message) > maxMessage || !utf8.ValidString(got.Message) {
			t.Errorf("%q: %.20q, %v", unit, got.Message, err)
		}
	}
}

func TestMessageIsMadePrintable(t *testing.T) {
	t.Parallel()
	wire := strings.NewReader(`{"kind":"refused","message":"a\u001b[31m\u0085\r\u202eb\u2066"}` + "\n")
	got, err := NewReader(wire).Result(testMax)
	if err != nil || got.Message != "a [31m   b " {
		t.Errorf("%q, %v", got.Message, err)
	}
}

func TestNonsenseIsRecognized(t *testing.T) {
	t.Parallel()
	const key = `"key":"0000000000000000000000000000000000000000000000000000000000000000"`
	for name, says := range map[string]string{
		"no line":       "compiled",
		"no JSON":       "compiled\n",
		"an array":      "[1]\n",
		"two":           `{"kind":"refused","message":"a"}{}` + "\n",
		"zeros":         strings.Repeat("\x00", 100) + "\n",
		"deep":          strings.Repeat("[", 16000) + "\n",
		"endless":       `{"kind":"refused","message":"` + strings.Repeat("a", 1<<20),
		"a kind":        `{"kind":"root"}` + "\n",
		"no kind":       "{}\n",
		"no reason":     `{"kind":"refused"}` + "\n",
		"code":          `{"kind":"refused","message":"a","code":1}` + "\n",
		"key":           `{"kind":"compiled","key":"00"}` + "\n",
		"digits":        `{"kind":"compiled","key":"x` + strings.Repeat("0", 63) + `"}` + "\n",
		"negative":      `{"kind":"compiled",` + key + `,"prefix":-1}` + "\n",
		"too much":      `{"kind":"compiled",` + key + `,"code":1001}` + "\n",
		"together":      `{"kind":"compiled",` + key + `,"prefix":400,"code":400,"suffix":201}` + "\n",
		"overflow":      `{"kind":"compiled",` + key + `,"prefix":9223372036854775807,"code":9223372036854775807,"suffix":2}` + "\n",
		"larger":        `{"kind":"compiled",` + key + `,"code":9223372036854775808}` + "\n",
		"not a number":  `{"kind":"compiled",` + key + `,"code":"1"}` + "\n",
		"half a number": `{"kind":"compiled",` + key + `,"code":1.5}` + "\n",
	} {
		if r, err := NewReader(strings.NewReader(says)).Result(testMax); !errors.Is(err, ErrNonsense) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := NewReader(strings.NewReader("")).Result(testMax); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := NewReader(iotest.ErrReader(io.ErrClosedPipe)).Result(testMax); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("unreadable: %v", err)
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestShimThatIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	if err := Write(closed{}, Result{Kind: Refused}); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func FuzzResult(f *testing.F) {
	var wire bytes.Buffer
	must(f, Write(&wire, Result{Kind: Compiled, Key: Key{1}, Prefix: 1, Code: 2, Suffix: 1}, []byte("abcd")))
	f.Add(wire.Bytes())
	for _, s := range []string{
		"", "\n", "{}\n", `{"kind":"refused","message":"\u001b[31m\u0085\u202e\ud800"}` + "\n", `{"kind":"compiled","prefix":1e3}` + "\n",
		`{"kind":"compiled","Prefix":500,"prefix":1,"code":9223372036854775807}` + "\n", `{"kind":"failed","message":"` + strings.Repeat("a", maxResult) + `"}` + "\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data))
		got, err := r.Result(testMax)
		if err != nil {
			if !errors.Is(err, ErrNonsense) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			return
		}
		if len(got.Message) > maxMessage || !utf8.ValidString(got.Message) || strings.ContainsFunc(got.Message, unicode.IsControl) {
			t.Fatalf("message %q", got.Message)
		}
		if got.Prefix < 0 || got.Code < 0 || got.Suffix < 0 || got.Prefix+got.Code+got.Suffix > testMax {
			t.Fatalf("sizes of %+v", got)
		}
		if got.Kind != Compiled && got.Message == "" {
			t.Fatalf("%+v", got)
		}
		line := bytes.IndexByte(data, '\n') + 1
		if code, err := io.ReadAll(r.Code()); err != nil || !bytes.Equal(code, data[line:]) {
			t.Fatalf("code %q, %v", code, err)
		}
	})
}

func FuzzJob(f *testing.F) {
	data, err := (&Job{Module: "/app.wasm", Workers: 1, Memory: 1, CPUSeconds: 1, User: 1}).Encode()
	must(f, err)
	f.Add(data)
	f.Add([]byte(`{"version":1,"memory":-1,"cpuSeconds":18446744073709551615}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := j.Encode()
		must(t, err)
		k, err := Decode(bytes.NewReader(again))
		must(t, err)
		if j.Module = k.Module; *j != *k { // a name may be cut
			t.Errorf("%+v became %+v", j, k)
		}
	})
}

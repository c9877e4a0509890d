package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
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
		MemoryLimit: 1 << 40, KeepCapabilities: []string{"CAP_DAC_OVERRIDE"}, PrivateCode: true,
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
		"truncated":  {strings.NewReader(`{"version":2,"module":"/a`), "decode job"},
		"array":      {strings.NewReader(`[]`), "decode job"},
		"version":    {strings.NewReader(`{"version":1}`), "version 1"},
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

func FuzzDecode(f *testing.F) {
	data, err := example().Encode()
	must(f, err)
	f.Add(data)
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":2,"preopens":[{}],"args":null,"memoryLimit":-1}`))
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

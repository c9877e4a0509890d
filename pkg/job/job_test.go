package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/room"
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
		Preopens:    []Preopen{{Guest: "/", Host: "/"}, {Guest: "/data", Host: "/mnt", ReadOnly: true}},
		MemoryLimit: 1 << 40, CPUs: 3, KeepCapabilities: []string{"CAP_DAC_OVERRIDE"}, PrivateCode: true,
		Room: &room.Room{Join: true},
	}
}

// fill gives every field of a struct, and of what is in it, another value than 0.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"net.ipv4.ip_forward": "1", "kernel.shm": ""}))
	case reflect.String:
		v.SetString(strings.Repeat("x", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(-*n))
	case reflect.Uint8: // a network.Policy
		v.SetUint(1)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		panic(v.Type())
	}
}

// TestNoFieldIsForgotten on the way.
func TestNoFieldIsForgotten(t *testing.T) {
	t.Parallel()
	var want Job
	fill(reflect.ValueOf(&want).Elem(), new(int))
	data, err := want.Encode()
	must(t, err)
	got, err := Decode(bytes.NewReader(data))
	must(t, err)
	want.Version = Version
	if !reflect.DeepEqual(got, &want) {
		t.Errorf("got %+v, want %+v", got, &want)
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
	whole, err := example().Encode()
	must(t, err)
	for name, tc := range map[string]struct {
		data io.Reader
		text string
	}{
		"empty":      {strings.NewReader(""), "decode job"},
		"truncated":  {strings.NewReader(string(rune(Version)) + "\x05/a"), "decode job"},
		"too long":   {io.MultiReader(bytes.NewReader(whole), strings.NewReader("x")), "decode job"},
		"version":    {strings.NewReader("\x01"), "version 1"},
		"JSON":       {strings.NewReader(`{"version":3}`), "version 123"},
		"no version": {strings.NewReader("\xff"), "version 0"},
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
	f.Add([]byte{Version})
	f.Add(bytes.Repeat([]byte{Version}, 100))
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

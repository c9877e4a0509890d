package quick_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

var documents = []string{
	`{}`, ` { } `, ``, `null`, `[]`, `{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1} x`, `{"a":1}}`,
	`{"a":[1,2,{"b":[]}],"c":{"d":"\u00e9\n\"","e":null},"f":true,"g":false}`, "{\t\"a\" :\r\n[ 1 , -2.5e+10 ] }",
	`{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":1e}`, `{"a":+1}`, `{"a":.5}`, `{"a":-0}`, `{"a":0.0E-0}`, `{"a":tru}`, `{"a":truee}`,
	`{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\u12`, `{"a":"\`, `{"a":"`, "{\"a\":\"\n\"}", "{\"a\":\"\xff\"}", `{"é":1}`, `{"\u0061":1}`,
	`{"a":1,"a":2}`, `{"A":1}`, `{"a":"x"}`, `{"a":"x\\y"}`, `{"a":"é"}`, `[1 2]`, `{"a":[1 2]}`, `{"a":[1,]}`, `{"a":1 "b":2}`,
	strings.Repeat(`{"a":`, quick.MaxDepth+2) + "1" + strings.Repeat("}", quick.MaxDepth+2),
}

// compareMembers wants the same members as encoding/json finds, or doubt.
func compareMembers(t *testing.T, document string) {
	got := map[string]string{}
	sure := quick.Members([]byte(document), func(name string, value []byte) bool {
		got[name] = string(value)
		return true
	})
	if !sure {
		return
	}
	var want map[string]json.RawMessage
	if err := json.Unmarshal([]byte(document), &want); err != nil || want == nil || len(want) != len(got) {
		t.Fatalf("%s: sure of %q, want %q, %v", document, got, want, err)
	}
	for name, raw := range want {
		if got[name] != string(raw) {
			t.Errorf("%s: %s is %q, want %q", document, name, got[name], raw)
		}
		var s string
		if text, sure := quick.Text([]byte(got[name])); sure && (json.Unmarshal(raw, &s) != nil || s != text) {
			t.Errorf("%s: %s is %q, want %q", document, name, text, s)
		}
	}
}

func TestMembersAreThoseOfEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, d := range documents {
		compareMembers(t, d)
	}
	for _, d := range []string{documents[0], documents[1], documents[5], documents[12], documents[13], `{"a":"\u12345"}`} {
		if !quick.Members([]byte(d), func(string, []byte) bool { return true }) {
			t.Errorf("not sure of %s", d)
		}
	}
}

func FuzzMembers(f *testing.F) {
	for _, d := range documents {
		f.Add(d)
	}
	f.Fuzz(compareMembers)
}

func TestQuotedTextIsReadAsItWas(t *testing.T) {
	t.Parallel()
	for _, want := range []string{"", "/run/s", `a"b\c`, "\x00\x1f\n", "é", "<&>"} {
		var got string
		if err := json.Unmarshal(quick.Quote(want), &got); err != nil || got != want {
			t.Errorf("%q: got %q, %v", want, got, err)
		}
	}
}

// compareGroup wants the group that encoding/json finds, or doubt.
func compareGroup(t *testing.T, dir, spec string) (sure bool) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := quick.Group(dir, "self")
	if errors.Is(err, quick.ErrUnsure) {
		return false
	}
	var s struct {
		Annotations map[string]string `json:"annotations"`
	}
	if jsonErr := json.Unmarshal([]byte(spec), &s); jsonErr != nil || err != nil {
		t.Fatalf("%s: got %q, %v; encoding/json: %v", spec, got, err, jsonErr)
	}
	want := "self"
	for i := len(quick.GroupAnnotations) - 1; i >= 0; i-- {
		if g := s.Annotations[quick.GroupAnnotations[i]]; g != "" {
			want = g
		}
	}
	if got != want {
		t.Errorf("%s: got %q, want %q", spec, got, want)
	}
	return true
}

var specs = map[string]bool{
	`{}`:                     true,
	`{"ociVersion":"1.2.0"}`: true,
	`{"annotations":{}}`:     true,
	`{"annotations":{"io.kubernetes.cri.sandbox-id":"pod","x":"\u00e9"}}`:                          true,
	`{"annotations":{"io.kubernetes.cri.sandbox-id":"pod","io.containerd.runc.v2.group":"g"}}`:     true,
	`{"annotations":{"io.kubernetes.cri.sandbox-id":"pod","io.containerd.runc.v2.group":""}}`:      true,
	`{"annotations":{"io.kubernetes.cri.sandbox-id":"pod","io.kubernetes.cri.sandbox-id":"pod2"}}`: true,
	`{"process":{"annotations":{"io.kubernetes.cri.sandbox-id":"pod"}}}`:                           true,
	`{"annotations":null}`: false,
	`{"annotations":[]}`:   false,
	`{"Annotations":{"io.kubernetes.cri.sandbox-id":"pod"}}`:                                                 false,
	`{"annotations":{"io.kubernetes.cri.sandbox-id":"a"},"annotations":{"io.containerd.runc.v2.group":"b"}}`: false,
	`{"annotations":{"io.kubernetes.cri.sandbox\u002did":"pod"}}`:                                            false,
	`{"annotations":{"io.kubernetes.cri.sandbox-id":"p\u006fd"}}`:                                            false,
	`{"annotations":{"io.kubernetes.cri.sandbox-id":"é"}}`:                                                   false,
	`{"annotations":{"io.kubernetes.cri.sandbox-id":null}}`:                                                  false,
	`{"annotations":{"x":1}}`:                               false,
	`{"annotations":{"io.kubernetes.cri.sandbox-id":"pod"}`: false,
	``: false,
}

func TestGroupIsThatOfTheAnnotations(t *testing.T) {
	t.Parallel()
	for spec, want := range specs {
		if sure := compareGroup(t, t.TempDir(), spec); sure != want {
			t.Errorf("%s: sure: %v", spec, sure)
		}
	}
	if g, err := quick.Group(t.TempDir(), "self"); g != "self" || err != nil {
		t.Errorf("without a spec: %q, %v", g, err)
	}
}

func FuzzGroup(f *testing.F) {
	for spec := range specs {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) { compareGroup(t, t.TempDir(), spec) })
}

func TestSumIsSHA256(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		text := strings.Repeat("a\xff", n)[:n]
		if got, want := quick.Sum256(text), sha256.Sum256([]byte(text)); got != want {
			t.Errorf("of %d bytes: %x, want %x", n, got, want)
		}
	}
}

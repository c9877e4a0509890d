package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
)

// result is one in which the direct launcher meets some targets and misses others.
func result() *Result {
	direct, runc := Variant{Name: wazeroSelf, Launcher: "direct"}, Variant{Name: runcName, Form: native}
	floor, framework := Variant{Name: floorName, Form: native}, Variant{Name: frameworkName, Form: native}
	p := Program{Name: "C hello", Key: "c", Bytes: 30e3, About: map[form]string{wasm: "a < b", native: "c & d"}}
	lives := func(v Variant, exit, del time.Duration) Times {
		return summary(v, p, []times{{exit: exit, delete: del}, {exit: exit, delete: del}})
	}
	return &Result{
		Programs: []Program{p}, Variants: []Variant{floor, framework, runc, direct},
		Missing: []Missing{{"other", "it is not here"}},
		Warm: []Times{
			lives(floor, 15*time.Millisecond, 9*time.Millisecond),
			lives(framework, 18*time.Millisecond, 11*time.Millisecond),
			lives(runc, 50*time.Millisecond, 23*time.Millisecond),
			lives(direct, 22*time.Millisecond, 13*time.Millisecond),
		},
		Rates:  []Rate{{floorName, p.Name, 4, 200, 50}, {frameworkName, p.Name, 4, 200, 45}, {runcName, p.Name, 4, 200, 20}, {wazeroSelf, p.Name, 4, 200, 42}},
		Memory: []Memory{{Variant: runcName, Program: p.Name, Containers: 50, PSS: 5e6, Shim: 5e6}, {Variant: wazeroSelf, Program: p.Name, Containers: 50, PSS: 4.6e6, Shim: 2.6e6, Container: 2e6}},
	}
}

func TestTargetsAreMetOrMissed(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, row := range result().targetTable().Rows {
		got[row[0]] = row[2]
	}
	for what, want := range map[string]string{
		"1. C hello warm, exit, of runc's":                       "0.44 ×, met",
		"1. C hello warm, exit, over the floor's":                "7.00 ms, met",
		"(1.) C hello warm, exit, over the framework's":          "4.00 ms, met",
		"1. C hello warm, delete, over the floor's":              "4.00 ms, missed",
		"(1.) C hello warm, delete, over the framework's":        "2.00 ms, met",
		"3. C hello per second, 4 at once, of runc's":            "2.10 ×, met",
		"3. C hello per second, 4 at once, of the floor's":       "0.84 ×, missed",
		"(3.) C hello per second, 4 at once, of the framework's": "0.93 ×, met",
		"4. C hello, 50 idle, PSS each":                          "4.60 MB, missed",
		"4. C hello, 50 idle, PSS of runc's":                     "0.92 ×, met",
	} {
		if got[what] != want {
			t.Errorf("%s: %q, want %q", what, got[what], want)
		}
		delete(got, what)
	}
	if len(got) > 0 {
		t.Errorf("nothing was measured for %v", got)
	}
}

func TestPercentilesLieBetweenValues(t *testing.T) {
	t.Parallel()
	sorted := []float64{1, 2, 3, 4, 5}
	for p, want := range map[float64]float64{0: 1, 50: 3, 90: 4.6, 100: 5} {
		if got := bed.Percentile(sorted, p); got != want {
			t.Errorf("%g: %g, want %g", p, got, want)
		}
	}
	if got := bed.Percentile(nil, 50); got != 0 {
		t.Errorf("of nothing: %g", got)
	}
}

// What has been written can be read again, and gives the same document.
func TestDocumentIsMadeOfItsFigures(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	if err := result().document(first); err != nil {
		t.Fatal(err)
	}
	again, err := readResult(filepath.Join(first, "benchmarks", "figures.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.document(second); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"benchmarks.md", "benchmarks/warm.svg", "benchmarks/rates.svg", "benchmarks/memory.svg", "benchmarks/figures.json"} {
		a, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(second, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s is not the same again", name)
		}
		if filepath.Ext(name) == ".svg" {
			requireXML(t, name, a)
		}
	}
	text, err := os.ReadFile(filepath.Join(first, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"Not measured: other, because it is not here.", "| C hello, 30 kB |", "(benchmarks/warm.svg)", "0.44 ×, met",
		"| framework | `` | nothing, too: ", "| C hello, runc | 0.0 (0.0) | 0.0 (0.0) | 0.0 (0.0) | 50.0 (50.0) | 50.0 | 1.00 | +35.0 | +32.0 | 23.0 (23.0) | +14.0 | +12.0 |"} {
		if !strings.Contains(string(text), part) {
			t.Errorf("there is no %q in\n%s", part, text)
		}
	}
	if strings.Contains(string(text), "cold.svg") {
		t.Error("it shows what was not measured")
	}
}

func requireXML(t *testing.T, name string, data []byte) {
	t.Helper()
	rects := 0
	for d := xml.NewDecoder(bytes.NewReader(data)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			rects++
		}
	}
	if rects == 0 {
		t.Errorf("%s has no bars", name)
	}
}

func TestOtherRuntimesOfTheCommandLine(t *testing.T) {
	t.Parallel()
	var o others
	for _, arg := range []string{"w=io.containerd.wasmtime.v1", "k=io.containerd.kata.v2,native"} {
		if err := o.Set(arg); err != nil {
			t.Error(err)
		}
	}
	want := others{{Name: "w", Runtime: "io.containerd.wasmtime.v1", Form: wasm}, {Name: "k", Runtime: "io.containerd.kata.v2", Form: native}}
	if fmt.Sprint(o) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", o, want)
	}
	for _, arg := range []string{"", "=", "a=", "=b", "a"} {
		if o.Set(arg) == nil {
			t.Errorf("%q is taken", arg)
		}
	}
}

func TestInParallel(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	calls, now, most := map[int]int{}, 0, 0
	err := inParallel(3, 20, func(i int) error {
		mu.Lock()
		calls[i]++
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		return nil
	})
	if err != nil || len(calls) != 20 || most > 3 {
		t.Errorf("%d calls, %d at once, %v", len(calls), most, err)
	}
	after := 0
	err = inParallel(1, 20, func(i int) error {
		after++
		if i == 4 {
			return errors.New("enough")
		}
		return nil
	})
	if err == nil || after != 5 {
		t.Errorf("%d calls, error %v", after, err)
	}
}

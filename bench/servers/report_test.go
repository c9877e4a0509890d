package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/servers/bodies"
)

func TestFiguresAreMediansOfRounds(t *testing.T) {
	t.Parallel()
	round := func(rate float64, slowest time.Duration) sample {
		s := sample{outcome: outcome{perSecond: rate, cpu: rate / 1000}, server: time.Duration(rate) * time.Microsecond}
		for range 99 {
			s.latencies = append(s.latencies, 2*time.Millisecond)
		}
		s.latencies = append([]time.Duration{slowest}, s.latencies...)
		return s
	}
	seen := []sample{round(300, 9*time.Millisecond), round(100, 2*time.Millisecond), round(200, 52*time.Millisecond)}
	c := Case{Program: goServer, Path: bodies.Small, Connections: 16}
	// Of 100 values the 99th percentile is a hundredth of the way from the last but one
	// to the last.
	want := Figure{Variant: "v", Case: c, PerSecond: 200, Slowest: 100, Fastest: 300, P50: 2000, P99: 2070, Server: 200, Clients: .2}
	got := figure("v", c, seen)
	got.P99 = math.Round(got.P99)
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	seen[1] = sample{failed: "no answer"}
	if got := figure("v", c, seen); got != (Figure{Variant: "v", Case: c, Failed: "no answer"}) {
		t.Errorf("with a round that failed: %+v", got)
	}
}

func TestLoadsHaveNames(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, c := range casesOf("") {
		names[c.String()] = true
	}
	for _, want := range []string{"Go, a line, 1 client", "Go, 64 KiB, 16 clients", "Go, a line, new connections, 64 clients", "Go, a line, 16 clients, 500 idle", "Go, a line, 1 client, every 20 ms",
		"C, a line, 1 client", "C, a line, new connections, 16 clients"} {
		if !names[want] {
			t.Errorf("there is no load %q", want)
		}
	}
	if len(names) != len(casesOf("")) {
		t.Errorf("%d names of %d loads", len(names), len(casesOf("")))
	}
	if n := len(casesOf("64 KiB")); n != 3 {
		t.Errorf("%d loads of 64 KiB", n)
	}
}

func TestCPUTimeOfACgroup(t *testing.T) {
	t.Parallel()
	if got, ok := usage("usage_usec 1234\nuser_usec 1000\n"); !ok || got != 1234*time.Microsecond {
		t.Errorf("of cgroup v2: %v, %v", got, ok)
	}
	if got, ok := usage("nr_periods 0\nnr_throttled 0\nthrottled_time 0\n"); ok {
		t.Errorf("of cgroup v1: %v", got)
	}
}

// What has been written can be read again, and gives the same document.
func TestDocumentIsMadeOfItsFigures(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	line, large := Case{Program: goServer, Path: bodies.Small, Connections: 1}, Case{Program: goServer, Path: bodies.Large, Connections: 64}
	r := &Result{
		Rounds: 3, Load: 1.5, Variants: (&built{}).variants("/cache"), Idle: []Idle{{otherName, cServer, .99}},
		Figures: []Figure{
			{Variant: oursName, Case: line, PerSecond: 3000, Slowest: 2500, Fastest: 3500, P50: 320, P99: 1700, Server: 200, Clients: .25},
			{Variant: nativeName, Case: line, PerSecond: 9000, Slowest: 9000, Fastest: 9000},
			{Variant: otherName, Case: line, PerSecond: 1000},
			{Variant: oursName, Case: large, PerSecond: 1},
			{Variant: otherName, Case: large, Failed: "it has ended"},
		},
	}
	if err := r.document(first); err != nil {
		t.Fatal(err)
	}
	again, err := readResult(filepath.Join(first, "benchmarks", "servers.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.document(second); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server-benchmarks.md", "benchmarks/servers.json"} {
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
	}
	text, err := os.ReadFile(filepath.Join(first, "server-benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"| Go, a line, 1 client | 3000 (2500, 3500) | 9000 (9000, 9000) | 1000 (0, 0) | 0.33 | 3.00 |",
		"| Go, a line, 1 client | 0.32 (1.70) |", "| Go, a line, 1 client | 200 (0.25) |", "| C, wazero's own | 99.00 |",
		"| Go, 64 KiB, 64 clients | 1 (0, 0) | – | – | – | – |", "No figure of wazero's own for Go, 64 KiB, 64 clients: it has ended.",
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("there is no %q in\n%s", part, text)
		}
	}
}

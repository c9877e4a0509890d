package main

import (
	"slices"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
)

// Result is all of one run, as JSON.
type Result struct {
	Machine  bed.Machine
	Quick    bool
	Seconds  float64 // that the run took
	Rounds   int
	Load     float64 // seconds of each round's load
	Variants []Variant
	Idle     []Idle
	Figures  []Figure
}

// Idle is how many CPUs a server takes that has no clients.
type Idle struct {
	Variant, Program string
	CPUs             float64
}

// Figure is what a variant does under a load: medians of the rounds.
type Figure struct {
	Variant string
	Case    Case
	// PerSecond are answers; Slowest and Fastest are those of single rounds.
	PerSecond, Slowest, Fastest float64
	// P50 and P99 are from the request, or from the begin of its connection, to the end
	// of the answer, in microseconds.
	P50, P99 float64
	// Server is CPU time of the container for an answer, in microseconds.
	Server float64
	// Clients is how many CPUs they took.
	Clients float64
	// Failed says why there are no figures, as all rounds have to succeed.
	Failed string `json:",omitempty"`
}

func figure(variant string, c Case, seen []sample) Figure {
	f := Figure{Variant: variant, Case: c}
	pick := func(f func(sample) float64) []float64 {
		all := make([]float64, len(seen))
		for i, s := range seen {
			all[i] = f(s)
		}
		slices.Sort(all)
		return all
	}
	for _, s := range seen {
		if s.failed != "" {
			f.Failed = s.failed
			return f
		}
	}
	rates := pick(func(s sample) float64 { return s.perSecond })
	f.PerSecond, f.Slowest, f.Fastest = bed.Percentile(rates, 50), bed.Percentile(rates, 0), bed.Percentile(rates, 100)
	f.P50 = bed.Percentile(pick(func(s sample) float64 { return latency(s.latencies, 50) }), 50)
	f.P99 = bed.Percentile(pick(func(s sample) float64 { return latency(s.latencies, 99) }), 50)
	f.Server = bed.Percentile(pick(func(s sample) float64 { return microseconds(s.server) }), 50)
	f.Clients = bed.Percentile(pick(func(s sample) float64 { return s.cpu }), 50)
	return f
}

// latency is a percentile in microseconds.
func latency(all []time.Duration, p float64) float64 {
	us := make([]float64, len(all))
	for i, d := range all {
		us[i] = microseconds(d)
	}
	slices.Sort(us)
	return bed.Percentile(us, p)
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// of finds a variant's figure; nil if there is none, or it failed.
func (r *Result) of(variant string, c Case) *Figure {
	for i := range r.Figures {
		if f := &r.Figures[i]; f.Variant == variant && f.Case == c && f.Failed == "" {
			return f
		}
	}
	return nil
}

func readResult(path string) (*Result, error) {
	r := &Result{}
	return r, bed.Read(path, r)
}

package main

import (
	"slices"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
)

// Result is all of one run, as JSON. Durations are milliseconds, memory is bytes.
type Result struct {
	Machine  bed.Machine
	Quick    bool
	Seconds  float64 // that the run took
	Programs []Program
	Variants []Variant
	Missing  []Missing `json:",omitempty"`
	Warm     []Times
	Cold     []Times
	Rates    []Rate
	Memory   []Memory
}

// Missing is a variant that could not be measured.
type Missing struct{ Name, Why string }

// Times are those of a variant with a program.
type Times struct {
	Variant, Program string
	Runs             int
	// Create, Start and Delete are the calls alone; Output and Exit count from the
	// begin of Create.
	Create, Start, Output, Exit, Delete Percentiles
}

// Percentiles of a duration in milliseconds. Min is what a busy machine disturbs
// least.
type Percentiles struct{ Min, P50, P90 float64 }

// Rate is how many containers went through their lives per second.
type Rate struct {
	Variant, Program string
	Parallel         int
	Containers       int
	PerSecond        float64
}

// Memory is what an idle container takes on average.
type Memory struct {
	Variant, Program string
	Containers       int
	// PSS is that of all processes that are there because of the containers:
	// Container of those in the containers' cgroups, Shim of the others.
	// Processes counts them.
	PSS, Shim, Container, Processes float64
	// Cgroup is what the container's cgroup is charged with.
	Cgroup float64
}

func summary(v Variant, p Program, seen []times) Times {
	pick := func(f func(times) time.Duration) Percentiles {
		ms := make([]float64, len(seen))
		for i, t := range seen {
			ms[i] = float64(f(t).Microseconds()) / 1000
		}
		slices.Sort(ms)
		return Percentiles{bed.Percentile(ms, 0), bed.Percentile(ms, 50), bed.Percentile(ms, 90)}
	}
	return Times{
		Variant: v.Name, Program: p.Name, Runs: len(seen),
		Create: pick(func(t times) time.Duration { return t.create }),
		Start:  pick(func(t times) time.Duration { return t.start }),
		Output: pick(func(t times) time.Duration { return t.output }),
		Exit:   pick(func(t times) time.Duration { return t.exit }),
		Delete: pick(func(t times) time.Duration { return t.delete }),
	}
}

// find returns the first element for which f is true, or nil.
func find[T any](all []T, f func(T) bool) *T {
	if i := slices.IndexFunc(all, f); i >= 0 {
		return &all[i]
	}
	return nil
}

func timesOf(all []Times, variant, program string) *Times {
	return find(all, func(t Times) bool { return t.Variant == variant && t.Program == program })
}

func (r *Result) rate(variant, program string, parallel int) *Rate {
	return find(r.Rates, func(x Rate) bool {
		return x.Variant == variant && x.Program == program && x.Parallel == parallel
	})
}

func (r *Result) memory(variant, program string, containers int) *Memory {
	return find(r.Memory, func(m Memory) bool {
		return m.Variant == variant && m.Program == program && m.Containers == containers
	})
}

func readResult(path string) (*Result, error) {
	r := &Result{}
	return r, bed.Read(path, r)
}

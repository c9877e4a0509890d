package main

import (
	"fmt"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
)

// target is a line of issue 5's acceptance with what was measured.
type target struct {
	what     string
	limit    float64
	atLeast  bool // otherwise at most
	unit     string
	measured func(r *Result, variant string) (float64, bool)
}

// targets are acceptance 1 to 4, for a quiet machine with two CPUs. What is held
// against the floor there is held against the framework shim beside it, with the number
// in parentheses, because nobody has asked for that.
var targets = []target{
	{"1. C hello warm, exit, of runc's", 0.45, false, "×", exitRatio("C hello")},
	{"1. C hello warm, exit, over the floor's", 8, false, "ms", over(floorName, exitOf)},
	{"(1.) C hello warm, exit, over the framework's", 8, false, "ms", over(frameworkName, exitOf)},
	{"1. C hello warm, delete, over the floor's", 3, false, "ms", over(floorName, deleteOf)},
	{"(1.) C hello warm, delete, over the framework's", 3, false, "ms", over(frameworkName, deleteOf)},
	{"2. Go hello warm, exit, of runc's", 1, false, "×", exitRatio("Go hello")},
	{"2. CPython warm, exit", 250, false, "ms", func(r *Result, v string) (float64, bool) {
		x := timesOf(r.Warm, v, "CPython")
		if x == nil {
			return 0, false
		}
		return x.Exit.P50, true
	}},
	{"3. C hello per second, 4 at once, of runc's", 2, true, "×", rateRatio(runcName)},
	{"3. C hello per second, 4 at once, of the floor's", 0.85, true, "×", rateRatio(floorName)},
	{"(3.) C hello per second, 4 at once, of the framework's", 0.85, true, "×", rateRatio(frameworkName)},
	{"4. C hello, 50 idle, PSS each", 4.5, false, "MB", pssEach("C hello", "")},
	{"4. C hello, 50 idle, PSS of runc's", 1, false, "×", pssEach("C hello", runcName)},
	{"4. Go hello, 50 idle, PSS each", 14, false, "MB", pssEach("Go hello", "")},
}

func exitRatio(program string) func(*Result, string) (float64, bool) {
	return func(r *Result, v string) (float64, bool) {
		x, base := timesOf(r.Warm, v, program), timesOf(r.Warm, runcName, program)
		if x == nil || base == nil {
			return 0, false
		}
		return x.Exit.P50 / base.Exit.P50, true
	}
}

func exitOf(t *Times) float64 { return t.Exit.P50 }

func deleteOf(t *Times) float64 { return t.Delete.P50 }

func over(other string, of func(*Times) float64) func(*Result, string) (float64, bool) {
	return func(r *Result, v string) (float64, bool) {
		x, base := timesOf(r.Warm, v, "C hello"), timesOf(r.Warm, other, "C hello")
		if x == nil || base == nil {
			return 0, false
		}
		return of(x) - of(base), true
	}
}

func rateRatio(other string) func(*Result, string) (float64, bool) {
	return func(r *Result, v string) (float64, bool) {
		x, base := r.rate(v, "C hello", 4), r.rate(other, "C hello", 4)
		if x == nil || base == nil {
			return 0, false
		}
		return x.PerSecond / base.PerSecond, true
	}
}

// pssEach is in megabytes, or relative to another variant.
func pssEach(program, other string) func(*Result, string) (float64, bool) {
	return func(r *Result, v string) (float64, bool) {
		x := r.memory(v, program, 50)
		if x == nil {
			return 0, false
		}
		if other == "" {
			return x.PSS / megabyte, true
		}
		base := r.memory(other, program, 50)
		if base == nil {
			return 0, false
		}
		return x.PSS / base.PSS, true
	}
}

// targetTable says how each launcher of our shim stands to the targets.
func (r *Result) targetTable() *bed.Table {
	t := &bed.Table{Title: "Targets of issue 5, for a quiet machine with two CPUs; in parentheses the same against the framework shim", Header: []string{"target", "limit"}}
	var ours []Variant
	for _, v := range r.Variants {
		if v.Launcher != "" {
			ours = append(ours, v)
			t.Header = append(t.Header, v.Name)
		}
	}
	for _, x := range targets {
		sign := "≤"
		if x.atLeast {
			sign = "≥"
		}
		row, seen := []string{x.what, fmt.Sprintf("%s %g %s", sign, x.limit, x.unit)}, false
		for _, v := range ours {
			cell := none
			if got, ok := x.measured(r, v.Name); ok {
				seen = true
				verdict := "missed"
				if (x.atLeast && got >= x.limit) || (!x.atLeast && got <= x.limit) {
					verdict = "met"
				}
				cell = fmt.Sprintf("%.2f %s, %s", got, x.unit, verdict)
			}
			row = append(row, cell)
		}
		if seen {
			t.Add(row...)
		}
	}
	return t
}

package main

import (
	"fmt"
	"io"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
)

const none = "–"

// each calls f for each variant of a program that some part has measured.
func (r *Result) each(f func(p Program, v Variant)) {
	for _, p := range r.Programs {
		for _, v := range r.Variants {
			f(p, v)
		}
	}
}

// print shows everything.
func (r *Result) print(w io.Writer) {
	for _, m := range r.Missing {
		fmt.Fprintf(w, "\nnot measured: %s: %s\n", m.Name, m.Why)
	}
	for _, t := range []*bed.Table{r.timesTable("warm", r.Warm), r.timesTable("cold", r.Cold), r.rateTable(), r.memoryTable(), r.targetTable()} {
		if len(t.Rows) > 0 {
			t.Text(w)
		}
	}
}

func (r *Result) timesTable(how string, all []Times) *bed.Table {
	t := &bed.Table{
		Title:  "Milliseconds, " + how + ", median (90th percentile)",
		Header: []string{"program, runtime", "create", "start", "first output", "exit", "fastest", "÷ runc", "− floor", "− framework", "delete", "− floor", "− framework"},
	}
	r.each(func(p Program, v Variant) {
		x := timesOf(all, v.Name, p.Name)
		if x == nil {
			return
		}
		ratio := none
		if base := timesOf(all, runcName, p.Name); base != nil {
			ratio = fmt.Sprintf("%.2f", x.Exit.P50/base.Exit.P50)
		}
		row := []string{p.Name + ", " + v.Name, x.Create.String(), x.Start.String(), x.Output.String(), x.Exit.String(), fmt.Sprintf("%.1f", x.Exit.Min), ratio}
		deleted := []string{x.Delete.String()}
		for _, name := range references {
			more, deleteMore := none, none
			if base := timesOf(all, name, p.Name); base != nil {
				more = fmt.Sprintf("%+.1f", x.Exit.P50-base.Exit.P50)
				deleteMore = fmt.Sprintf("%+.1f", x.Delete.P50-base.Delete.P50)
			}
			row, deleted = append(row, more), append(deleted, deleteMore)
		}
		t.Add(append(row, deleted...)...)
	})
	return t
}

// String implements fmt.Stringer.
func (p Percentiles) String() string { return fmt.Sprintf("%.1f (%.1f)", p.P50, p.P90) }

func (r *Result) rateTable() *bed.Table {
	t := &bed.Table{Title: "Containers per second, from nothing to nothing", Header: []string{"program, runtime"}}
	var widths []int
	for _, x := range r.Rates {
		if find(widths, func(w int) bool { return w == x.Parallel }) == nil {
			widths = append(widths, x.Parallel)
			t.Header = append(t.Header, fmt.Sprintf("%d at once", x.Parallel), "× runc", "× floor", "× framework")
		}
	}
	r.each(func(p Program, v Variant) {
		row := []string{p.Name + ", " + v.Name}
		if len(widths) == 0 {
			return
		}
		for _, w := range widths {
			x := r.rate(v.Name, p.Name, w)
			if x == nil {
				return
			}
			row = append(row, fmt.Sprintf("%.1f", x.PerSecond))
			for _, base := range append([]string{runcName}, references...) {
				ratio := none
				if b := r.rate(base, p.Name, w); b != nil {
					ratio = fmt.Sprintf("%.2f", x.PerSecond/b.PerSecond)
				}
				row = append(row, ratio)
			}
		}
		t.Add(row...)
	})
	return t
}

const megabyte = 1e6

func (r *Result) memoryTable() *bed.Table {
	t := &bed.Table{
		Title:  "Megabytes per idle container: PSS of shim + container (charged to the container's cgroup)",
		Header: []string{"program, runtime"},
	}
	var counts []int
	for _, m := range r.Memory {
		if find(counts, func(c int) bool { return c == m.Containers }) == nil {
			counts = append(counts, m.Containers)
			t.Header = append(t.Header, fmt.Sprintf("%d", m.Containers))
		}
	}
	r.each(func(p Program, v Variant) {
		row, seen := []string{p.Name + ", " + v.Name}, false
		for _, c := range counts {
			cell := none
			if m := r.memory(v.Name, p.Name, c); m != nil {
				cell, seen = fmt.Sprintf("%.1f + %.1f (%.1f)", m.Shim/megabyte, m.Container/megabyte, m.Cgroup/megabyte), true
			}
			row = append(row, cell)
		}
		if seen {
			t.Add(row...)
		}
	})
	return t
}

package main

import "fmt"

// Counts at which the charts look.
const (
	chartParallel = 4
	chartIdle     = 50
)

// groupOf has a bar for each variant for which f has a figure.
func (r *Result) groupOf(label string, f func(variant string) (segments []float64, text string)) group {
	g := group{label: label}
	for i, v := range r.Variants {
		if segments, text := f(v.Name); segments != nil {
			g.bars = append(g.bars, bar{v.Name, i, segments, text})
		}
	}
	return g
}

func (c *chart) add(g group) {
	if len(g.bars) > 0 {
		c.groups = append(c.groups, g)
	}
}

func (r *Result) timesChart(title string, all []Times, ownScale bool) *chart {
	c := &chart{title: title, unit: "median milliseconds: Create to exit, and Delete (lighter)", ownScale: ownScale}
	for _, p := range r.Programs {
		c.add(r.groupOf(p.label(), func(v string) ([]float64, string) {
			t := timesOf(all, v, p.Name)
			if t == nil {
				return nil, ""
			}
			return []float64{t.Exit.P50, t.Delete.P50}, fmt.Sprintf("%.1f + %.1f", t.Exit.P50, t.Delete.P50)
		}))
	}
	return c
}

// rateChart shows the smallest program at every width, the others at one.
func (r *Result) rateChart() *chart {
	c := &chart{title: "Containers per second", unit: "from nothing to nothing"}
	for i, p := range r.Programs {
		for _, width := range []int{1, 4, 8} {
			if i > 0 && width != chartParallel {
				continue
			}
			c.add(r.groupOf(fmt.Sprintf("%s, %d at once", p.Name, width), func(v string) ([]float64, string) {
				x := r.rate(v, p.Name, width)
				if x == nil {
					return nil, ""
				}
				return []float64{x.PerSecond}, fmt.Sprintf("%.1f", x.PerSecond)
			}))
		}
	}
	return c
}

// memoryChart shows the smallest program at every count, the others at one.
func (r *Result) memoryChart() *chart {
	c := &chart{title: "Memory of an idle container", unit: "megabytes (PSS): shim, and container (lighter)"}
	for i, p := range r.Programs {
		for _, count := range []int{1, 10, 50, 100} {
			if i > 0 && count != chartIdle {
				continue
			}
			c.add(r.groupOf(fmt.Sprintf("%s, %d idle", p.Name, count), func(v string) ([]float64, string) {
				m := r.memory(v, p.Name, count)
				if m == nil {
					return nil, ""
				}
				return []float64{m.Shim / megabyte, m.Container / megabyte}, fmt.Sprintf("%.1f + %.1f", m.Shim/megabyte, m.Container/megabyte)
			}))
		}
	}
	return c
}

// label names a program and the size of its module.
func (p Program) label() string {
	if p.Bytes < 1e6 {
		return fmt.Sprintf("%s, %.0f kB", p.Name, float64(p.Bytes)/1e3)
	}
	return fmt.Sprintf("%s, %.1f MB", p.Name, float64(p.Bytes)/1e6)
}

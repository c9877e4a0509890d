package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
)

// document writes DIR/benchmarks.md, and into DIR/benchmarks its charts and the
// figures of which it is made.
func (r *Result) document(dir string) error {
	sub := filepath.Join(dir, "benchmarks")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		return err
	}
	var b bytes.Buffer
	r.intro(&b)
	for _, s := range []struct {
		heading, text, file string
		chart               *chart
		table               *bed.Table
	}{
		{"Warm starts", warmText, "warm.svg", r.timesChart("Warm starts", r.Warm, false), r.timesTable("warm", r.Warm)},
		{"The first start", coldText, "cold.svg", r.timesChart("First starts, a scale for each program", r.Cold, true), r.timesTable("cold", r.Cold)},
		{"Containers per second", rateText, "rates.svg", r.rateChart(), r.rateTable()},
		{"Memory", memoryText, "memory.svg", r.memoryChart(), r.memoryTable()},
		{"Targets", targetText, "", nil, r.targetTable()},
	} {
		if len(s.table.Rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", s.heading, s.text)
		if s.chart != nil {
			fmt.Fprintf(&b, "![%s](benchmarks/%s)\n\n", s.chart.title, s.file)
			var svg bytes.Buffer
			if err := s.chart.svg(&svg); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(sub, s.file), svg.Bytes(), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s.\n\n", s.table.Title)
		}
		s.table.Markdown(&b)
	}
	if err := bed.Write(filepath.Join(sub, "figures.json"), r); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "benchmarks.md"), b.Bytes(), 0o644)
}

const (
	warmText = `The node has run the program before: its code is compiled, files are in memory. *Create* and *start* are these calls alone; *first output* and
*exit* count from the begin of Create, until the client has the first byte, and until it knows that the program has ended. *Fastest* is the best exit of
all rounds; the ratios are of medians.
`
	coldText = `The node has never run the program: there is no compiled code, and the runtime's and the image's files have been dropped from memory.
Compiling is most of it; ` + "`precompile`" + ` does it beforehand ([cache.md](cache.md)).
`
	rateText = `One client starts containers, waits for their ends and deletes them, several at a time. All of a life counts: container and snapshot, which are
containerd's work and the same for all, task, and the removal of everything.
`
	memoryText = `Idle containers, after two seconds of rest. *PSS* counts a page that processes share in equal parts for each: the shim's, which are all
processes outside of the container's cgroup, plus the container's. In parentheses what the container's own cgroup is charged with, which is what
its limit bounds and what Kubernetes shows.
`
	targetText = `What issue 5 asks for, on a quiet machine with two CPUs. It does not ask for the lines with a number in parentheses: these hold the limit of the
line above against the framework shim.
`
)

func (r *Result) intro(b *bytes.Buffer) {
	m := r.Machine
	fmt.Fprintf(b, `# Benchmarks

<!-- Written by bench/runtimes out of benchmarks/figures.json: change it there. -->

Runtimes side by side: in one run on one containerd %s, taking turns, so that the ratios hold even where the milliseconds do not.
`+"`make bench-runtimes`"+` repeats it on your machine in about ten minutes, `+"`make bench-runtimes BENCH=-quick`"+` in one or two.

Measured on %s: %d CPUs (%s), %.0f GB of memory, Linux %s, cgroup %s, runc %s, %s, our shim %s.
The run took %.0f s and began with a load average of %.1f.
`, m.Containerd, m.Date, m.CPUs, m.CPU, m.MemoryGB, m.Kernel, m.Cgroups, m.Runc, m.Go, m.Shim, r.Seconds, m.LoadBefore)
	if r.Quick {
		b.WriteString("\n**This was a quick run: few repetitions, for a first look.**\n")
	}
	b.WriteString("\n## What is compared\n\n| runtime | containerd's name | runs |\n|---|---|---|\n")
	for _, v := range r.Variants {
		runs := "the module"
		switch {
		case v.Name == floorName:
			runs = "nothing: a shim that answers containerd and does no more (no process, mount or cgroup), the least that any could take"
		case v.Name == frameworkName:
			runs = "nothing, too: a shim built as Go shims are, on containerd's own framework, which publishes the events of a task and does no more"
		case v.Form == native:
			runs = "the same program, built natively"
		}
		fmt.Fprintf(b, "| %s | `%s` | %s |\n", v.Name, v.Runtime, runs)
	}
	for _, x := range r.Missing {
		fmt.Fprintf(b, "\nNot measured: %s, because %s.\n", x.Name, strings.TrimSuffix(x.Why, "."))
	}
	b.WriteString("\n| program | module | natively |\n|---|---|---|\n")
	for _, p := range r.Programs {
		fmt.Fprintf(b, "| %s | %s | %s |\n", p.label(), p.About[wasm], p.About[native])
	}
	b.WriteString(`
Each program says a word and ends, or says it and waits. The client is containerd's own in Go, with the container that ` + "`ctr run`" + ` would make.
The order is round robin: each round runs every program once with every runtime.
`)
}

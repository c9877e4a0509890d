package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
)

const none = "–"

// rates is the table of what servers do.
func (r *Result) rates() *bed.Table {
	t := &bed.Table{Title: "Answers per second (slowest, fastest round)", Header: []string{"load"}}
	for _, v := range r.Variants {
		t.Header = append(t.Header, v.Name)
	}
	t.Header = append(t.Header, "ours ÷ native", "ours ÷ wazero's own")
	r.eachCase(func(c Case) {
		row := []string{c.String()}
		for _, v := range r.Variants {
			row = append(row, r.cell(v, c, func(f *Figure) string {
				return fmt.Sprintf("%.0f (%.0f, %.0f)", f.PerSecond, f.Slowest, f.Fastest)
			}))
		}
		t.Add(append(row, r.ratio(c, nativeName), r.ratio(c, otherName))...)
	})
	return t
}

// ratio is that of our rate to another's.
func (r *Result) ratio(c Case, other string) string {
	ours, base := r.of(oursName, c), r.of(other, c)
	if ours == nil || base == nil || base.PerSecond == 0 {
		return none
	}
	return fmt.Sprintf("%.2f", ours.PerSecond/base.PerSecond)
}

// latencies is the table of how long answers take.
func (r *Result) latencies() *bed.Table {
	return r.table("Milliseconds to the answer, median (99th percentile)", func(f *Figure) string {
		return fmt.Sprintf("%.2f (%.2f)", f.P50/1000, f.P99/1000)
	})
}

// costs is the table of what answers cost.
func (r *Result) costs() *bed.Table {
	return r.table("Microseconds of CPU time of the container per answer (CPUs that the clients take)", func(f *Figure) string {
		return fmt.Sprintf("%.0f (%.2f)", f.Server, f.Clients)
	})
}

func (r *Result) table(title string, show func(*Figure) string) *bed.Table {
	t := &bed.Table{Title: title, Header: []string{"load"}}
	for _, v := range r.Variants {
		t.Header = append(t.Header, v.Name)
	}
	r.eachCase(func(c Case) {
		row := []string{c.String()}
		for _, v := range r.Variants {
			row = append(row, r.cell(v, c, show))
		}
		t.Add(row...)
	})
	return t
}

func (r *Result) cell(v Variant, c Case, show func(*Figure) string) string {
	if f := r.of(v.Name, c); f != nil {
		return show(f)
	}
	return none
}

// eachCase calls f for what has been measured, in its order.
func (r *Result) eachCase(f func(Case)) {
	seen := map[Case]bool{}
	for _, x := range r.Figures {
		if !seen[x.Case] {
			seen[x.Case] = true
			f(x.Case)
		}
	}
}

// idle is the table of servers that have nothing to do.
func (r *Result) idle() *bed.Table {
	t := &bed.Table{Title: "Percent of a CPU without clients", Header: []string{"server", "%"}}
	for _, x := range r.Idle {
		t.Add(x.Program+", "+x.Variant, fmt.Sprintf("%.2f", x.CPUs*100))
	}
	return t
}

// failures says why figures are missing.
func (r *Result) failures(w io.Writer) {
	for _, f := range r.Figures {
		if f.Failed != "" {
			fmt.Fprintf(w, "\nNo figure of %s for %v: %s.\n", f.Variant, f.Case, f.Failed)
		}
	}
}

// print shows everything.
func (r *Result) print(w io.Writer) {
	for _, t := range []*bed.Table{r.rates(), r.latencies(), r.costs(), r.idle()} {
		t.Text(w)
	}
	r.failures(w)
}

// document writes DIR/server-benchmarks.md, and the figures of which it is made to
// DIR/benchmarks/servers.json.
func (r *Result) document(dir string) error {
	sub := filepath.Join(dir, "benchmarks")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		return err
	}
	var b bytes.Buffer
	r.intro(&b)
	for _, s := range []struct {
		heading, text string
		table         *bed.Table
	}{
		{"Answers per second", "", r.rates()},
		{"Time to an answer", "", r.latencies()},
		{"What an answer costs", costText, r.costs()},
		{"Idle", idleText, r.idle()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s%s.\n\n", s.heading, s.text, s.table.Title)
		s.table.Markdown(&b)
	}
	r.failures(&b)
	b.WriteString(whyText)
	if err := bed.Write(filepath.Join(sub, "servers.json"), r); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "server-benchmarks.md"), b.Bytes(), 0o644)
}

const (
	costText = `A WebAssembly guest has one thread, so it takes one CPU at most; the native server takes what the clients leave of all.
Clients that take less than one CPU have not been the bottleneck.

`
	whyText = `
## Where the time goes

With clients that do not pause, a profile (` + "`perf record`" + `) of the Go server under our shim has three quarters of the time in the module's own machine code, a fifth in the
kernel, and 4 % in the WASI host and below it. The code that wazero makes of Go's ` + "`net/http`" + ` needs about ten times as long as native code. It is the same under both hosts, so
they are close to each other where a server is busy all the time on few connections. What differs is what a host does besides: wazero's own polls without end, asks each of
the connections each time, and closes a connection only when its garbage is collected.
`
	idleText = `wazero's own sockets cannot be waited for: what polls them goes round and round.

`
)

func (r *Result) intro(b *bytes.Buffer) {
	m := r.Machine
	fmt.Fprintf(b, `# Benchmark of servers

<!-- Written by bench/servers out of benchmarks/servers.json: change it there. -->

Two HTTP servers, each in three kinds of containers on one containerd %s. They take turns in each round, and rest while others are measured, so that the
ratios hold even where the figures do not. `+"`make bench-servers`"+` repeats it on your machine in about ten minutes,
`+"`make bench-servers BENCH=-quick`"+` in one.

Measured on %s: %d CPUs (%s), %.0f GB of memory, Linux %s, cgroup %s, runc %s, %s, our shim %s.
The run took %.0f s and began with a load average of %.1f. Figures are medians of %d rounds of %g s.
`, m.Containerd, m.Date, m.CPUs, m.CPU, m.MemoryGB, m.Kernel, m.Cgroups, m.Runc, m.Go, m.Shim, r.Seconds, m.LoadBefore, r.Rounds, r.Load)
	if r.Quick {
		b.WriteString("\n**This was a quick run: few repetitions, for a first look.**\n")
	}
	if m.LoadBefore > 1 {
		b.WriteString("\n**The machine was busy with other things, too: the rounds differ by much. See the CPU time of an answer.**\n")
	}
	b.WriteString("\n## What is compared\n\n| server | containerd's runtime | runs |\n|---|---|---|\n")
	for _, v := range r.Variants {
		fmt.Fprintf(b, "| %s | `%s` | %s |\n", v.Name, v.Runtime, v.About)
	}
	b.WriteString(`
| program | |
|---|---|
| Go | An ordinary server of ` + "`net/http`" + `. |
| Go as it is | The same without what it does for wazero's own sockets, see below. |
| C | The least that can be a server: it accepts one connection after the other, and answers on it until it is closed. All it does is calls for sockets. |

The modules find their listeners open ([servers.md](servers.md)). The one in Go sets ` + "`O_NONBLOCK`" + `, which it already has under our shim: wazero's own sockets say
that they block, and Go would wait in ` + "`accept`" + ` for ever, with all of its goroutines.

The clients are one thread of the benchmark, on the same machine, by loopback. Each asks again as soon as it has its answer, or some time after it asked, with
HTTP/1.1 on a connection that stays open, or on a new one each time. An answer is a line or 64 KiB, and every one is compared with what it has to be. *Idle* are connections beside, on which one request was answered before.
`)
}

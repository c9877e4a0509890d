package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
	"github.com/containerd-wazero/containerd-shim-wazero/bench/servers/bodies"
)

// plan says how much is measured.
type plan struct {
	rounds     int
	warm, long time.Duration // of each load
	idle       time.Duration // without any
}

var (
	fullPlan  = plan{rounds: 7, warm: 300 * time.Millisecond, long: 1500 * time.Millisecond, idle: 5 * time.Second}
	quickPlan = plan{rounds: 1, warm: 200 * time.Millisecond, long: 700 * time.Millisecond, idle: time.Second}
)

// Case is a load.
type Case struct {
	Path        string
	Connections int
	// Fresh is a new connection for each request.
	Fresh bool
	// Idle is how many connections are open beside, on which nothing is asked.
	Idle int
}

// casesOf are all loads of whose name this is a part.
func casesOf(part string) (all []Case) {
	for _, c := range []Case{{Path: bodies.Small}, {Path: bodies.Large}, {Path: bodies.Small, Fresh: true}, {Path: bodies.Small, Idle: 500}} {
		for _, c.Connections = range []int{1, 16, 64} {
			if strings.Contains(c.String(), part) {
				all = append(all, c)
			}
		}
	}
	return all
}

// patience is what a server gets until it answers; wazero's own compiles first.
const patience = 3 * time.Minute

// bench is one run.
type bench struct {
	*bed.Node
	plan     plan
	cases    []Case
	variants []Variant
	bodies   map[string][]byte
	running  map[string]*container // by name of the variant
	serial   int
	logf     func(string, ...any)
}

// measure fills the result.
func (b *bench) measure(ctx context.Context, r *Result) (err error) {
	defer func() {
		for _, c := range b.running {
			err = errors.Join(err, c.remove(ctx))
		}
	}()
	for _, v := range b.variants {
		if err := b.Load(ctx, v.image); err != nil {
			return err
		}
		if err := b.begin(ctx, v); err != nil {
			return err
		}
		b.logf("%s answers", v.Name)
	}
	for _, v := range b.variants {
		used, err := b.idle(ctx, v)
		if err != nil {
			return err
		}
		r.Idle = append(r.Idle, Idle{v.Name, used})
	}
	seen := map[Case]map[string][]sample{}
	for _, c := range b.cases {
		seen[c] = map[string][]sample{}
		b.logf("%v", c)
		for round := range b.plan.rounds {
			for i := range b.variants {
				v := b.variants[(i+round)%len(b.variants)]
				s, err := b.sample(ctx, v, c)
				if err != nil {
					return err
				}
				seen[c][v.Name] = append(seen[c][v.Name], s)
			}
		}
		for _, v := range b.variants {
			r.Figures = append(r.Figures, figure(v.Name, c, seen[c][v.Name]))
		}
	}
	return nil
}

// begin starts a server, waits until it answers, and lets it rest.
func (b *bench) begin(ctx context.Context, v Variant) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b.serial++
	c, err := start(ctx, b.Node, v, fmt.Sprintf("server%d", b.serial))
	if err != nil {
		return fmt.Errorf("%s: %w", v.Name, err)
	}
	b.running[v.Name] = c
	for {
		_, err := b.load(v, Case{Path: bodies.Small, Connections: 1}).run(ctx, 0)
		if err == nil {
			return c.stop()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w: %s", v.Name, err, &c.said)
		case <-c.exited:
			return fmt.Errorf("%s has ended: %s", v.Name, &c.said)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *bench) load(v Variant, c Case) load {
	return load{port: v.port, path: c.Path, body: b.bodies[c.Path], connections: c.Connections, fresh: c.Fresh}
}

// idle is how many CPUs a server takes that has nothing to do.
func (b *bench) idle(ctx context.Context, v Variant) (cpus float64, err error) {
	c := b.running[v.Name]
	if err := c.cont(); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	before, err := c.cpu()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	select {
	case <-time.After(b.plan.idle):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, err := c.cpu()
	return (after - before).Seconds() / time.Since(begin).Seconds(), err
}

// sample is one measurement of a server.
type sample struct {
	outcome
	server time.Duration // of CPU, per answer
	failed string        // why there is no outcome
}

// sample measures one server while the others rest. One that fails is replaced.
func (b *bench) sample(ctx context.Context, v Variant, c Case) (s sample, err error) {
	server, l := b.running[v.Name], b.load(v, c)
	if err := server.cont(); err != nil {
		return s, err
	}
	s, err = b.observe(ctx, server, c.Idle, l)
	if ctx.Err() != nil {
		return s, ctx.Err()
	}
	if err == nil {
		return s, server.stop()
	}
	s.failed = err.Error()
	b.logf("%s fails with %v: %v: %s", v.Name, c, err, &server.said)
	delete(b.running, v.Name)
	if err := server.remove(ctx); err != nil {
		return s, err
	}
	return s, b.begin(ctx, v)
}

// observe measures a load, and what the server takes for it, with idle connections.
func (b *bench) observe(ctx context.Context, server *container, idle int, l load) (s sample, err error) {
	others := l
	others.connections = idle
	p, err := others.open()
	if err != nil {
		return s, err
	}
	defer p.close()
	if _, err := p.run(ctx, 0); err != nil {
		return s, err
	}
	if _, err := l.run(ctx, b.plan.warm); err != nil {
		return s, err
	}
	before, err := server.cpu()
	if err != nil {
		return s, err
	}
	if s.outcome, err = l.run(ctx, b.plan.long); err != nil {
		return s, err
	}
	after, err := server.cpu()
	s.server = (after - before) / time.Duration(len(s.latencies))
	return s, err
}

// String implements fmt.Stringer.
func (c Case) String() string {
	what := "a line"
	if c.Path == bodies.Large {
		what = "64 KiB"
	}
	if c.Fresh {
		what += ", new connections"
	}
	if c.Connections == 1 {
		what += ", 1 client"
	} else {
		what = fmt.Sprintf("%s, %d clients", what, c.Connections)
	}
	if c.Idle > 0 {
		what = fmt.Sprintf("%s, %d idle", what, c.Idle)
	}
	return what
}

// widenPorts makes enough of them for new connections. It is for the network namespace
// that is this program's own.
func widenPorts() error {
	return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("10000 65535"), 0)
}

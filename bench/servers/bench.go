package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	fullPlan  = plan{rounds: 5, warm: 300 * time.Millisecond, long: 1200 * time.Millisecond, idle: 5 * time.Second}
	quickPlan = plan{rounds: 1, warm: 200 * time.Millisecond, long: 700 * time.Millisecond, idle: time.Second}
)

// Case is a load.
type Case struct {
	Program     string
	Path        string
	Connections int
	// Fresh is a new connection for each request.
	Fresh bool
	// Idle is how many connections are open beside, on which nothing is asked.
	Idle int
	// Pause is from one request of a client to its next, in milliseconds; 0 is as soon as
	// there is an answer.
	Pause int
}

// casesOf are all loads of whose name this is a part.
func casesOf(part string) (all []Case) {
	for _, c := range []Case{
		{Program: goServer, Path: bodies.Small},
		{Program: goServer, Path: bodies.Large},
		{Program: goServer, Path: bodies.Small, Fresh: true},
		{Program: goServer, Path: bodies.Small, Idle: 500},
		{Program: goServer, Path: bodies.Small, Pause: 20},
		{Program: cServer, Path: bodies.Small},
		{Program: cServer, Path: bodies.Small, Fresh: true},
		{Program: goAsItIs, Path: bodies.Small},
	} {
		for _, c.Connections = range []int{1, 16, 64} {
			// The one in C serves a connection at a time.
			possible := c.Program != cServer || c.Fresh || c.Connections == 1
			if c.Program == goAsItIs {
				possible = c.Connections == 16 // the rest would be as above
			}
			if possible && strings.Contains(c.String(), part) {
				all = append(all, c)
			}
		}
	}
	return all
}

// patience is what a server gets until it answers; wazero's own compiles first. That is
// not worth waiting for where it is not going to answer.
const patience, shortPatience = 3 * time.Minute, 20 * time.Second

// bench is one run.
type bench struct {
	*bed.Node
	plan     plan
	cases    []Case
	variants []Variant
	bodies   map[string][]byte
	running  map[key]*container
	mute     map[key]string // those that do not answer, and why
	serial   int
	logf     func(string, ...any)
}

// key is that of a server.
type key struct{ variant, program string }

// measure fills the result.
func (b *bench) measure(ctx context.Context, r *Result) (err error) {
	defer func() {
		for _, c := range b.running {
			err = errors.Join(err, c.remove(ctx))
		}
	}()
	for _, program := range b.programs() {
		for _, v := range b.variants {
			if err := b.Load(ctx, v.servers[program].image); err != nil {
				return err
			}
			if err := b.begin(ctx, v, program); err != nil {
				return err
			}
			if b.mute[key{v.Name, program}] != "" {
				continue
			}
			used, err := b.idle(ctx, v, program)
			if err != nil {
				return err
			}
			b.logf("%s, %s, answers", v.Name, program)
			r.Idle = append(r.Idle, Idle{v.Name, program, used})
		}
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

// programs are those that the loads are for.
func (b *bench) programs() (all []string) {
	for _, c := range b.cases {
		if !slices.Contains(all, c.Program) {
			all = append(all, c.Program)
		}
	}
	return all
}

// begin starts a server, waits until it answers, and lets it rest.
func (b *bench) begin(ctx context.Context, v Variant, program string) error {
	limit := patience
	if program == goAsItIs {
		limit = shortPatience
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	b.serial++
	c, err := start(ctx, b.Node, v, program, fmt.Sprintf("server%d", b.serial))
	if err != nil {
		return fmt.Errorf("%s, %s: %w", v.Name, program, err)
	}
	b.running[key{v.Name, program}] = c
	for {
		_, err := b.load(v, Case{Program: program, Path: bodies.Small, Connections: 1}).run(waiting, 0)
		if err == nil {
			return c.stop()
		}
		select {
		case <-waiting.Done():
			if ctx.Err() == nil && program == goAsItIs {
				b.mute[key{v.Name, program}] = fmt.Sprintf("it answers no request within %v", limit)
				b.logf("%s: %s", c.name, b.mute[key{v.Name, program}])
				delete(b.running, key{v.Name, program})
				return c.remove(ctx)
			}
			return fmt.Errorf("%s does not answer: %w: %s", c.name, err, &c.said)
		case <-c.exited:
			return fmt.Errorf("%s has ended: %s", c.name, &c.said)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *bench) load(v Variant, c Case) load {
	return load{port: v.servers[c.Program].port, path: c.Path, body: b.bodies[c.Path], connections: c.Connections, fresh: c.Fresh, pause: time.Duration(c.Pause) * time.Millisecond}
}

// idle is how many CPUs a server takes that has nothing to do.
func (b *bench) idle(ctx context.Context, v Variant, program string) (cpus float64, err error) {
	c := b.running[key{v.Name, program}]
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
	if why := b.mute[key{v.Name, c.Program}]; why != "" {
		return sample{failed: why}, nil
	}
	server, l := b.running[key{v.Name, c.Program}], b.load(v, c)
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
	s.failed = strings.TrimSuffix(fmt.Sprintf("%v: %s", err, &server.said), ": ")
	b.logf("%s fails with %v: %s", v.Name, c, s.failed)
	delete(b.running, key{v.Name, c.Program})
	if err := server.remove(ctx); err != nil {
		return s, err
	}
	return s, b.begin(ctx, v, c.Program)
}

// observe measures a load, and what the server takes for it, with idle connections.
func (b *bench) observe(ctx context.Context, server *container, idle int, l load) (s sample, err error) {
	others := l
	others.connections, others.fresh = idle, false
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
	what := c.Program + ", a line"
	if c.Path == bodies.Large {
		what = c.Program + ", 64 KiB"
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
	if c.Pause > 0 {
		what = fmt.Sprintf("%s, every %d ms", what, c.Pause)
	}
	return what
}

// widenPorts makes enough of them for new connections. It is for the network namespace
// that is this program's own.
func widenPorts() error {
	return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("10000 65535"), 0)
}

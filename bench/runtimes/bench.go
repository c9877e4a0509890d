package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
)

// plan says how much is measured. What maps say about programs, by key, they
// say with "" about all others.
type plan struct {
	warm       int            // lives of each variant and program with everything in memory
	cold       int            // the same with nothing
	containers map[string]int // lives of each variant to see how many there are per second
	parallel   []int
	idle       map[string][]int // idle containers at once, in ascending order
}

var (
	fullPlan = plan{
		warm: 40, cold: 5,
		containers: map[string]int{"c": 200, "": 60}, parallel: []int{1, 4, 8},
		idle: map[string][]int{"": {1, 10, 50, 100}},
	}
	quickPlan = plan{
		warm: 8, cold: 1,
		containers: map[string]int{"c": 40, "": 0}, parallel: []int{1, 4, 8},
		idle: map[string][]int{"c": {1, 10, 50}, "go": {50}, "": {1}},
	}
)

// of is what a map of the plan says about a program.
func of[T any](m map[string]T, p Program) T {
	if x, ok := m[p.Key]; ok {
		return x
	}
	return m[""]
}

// bench is one run.
type bench struct {
	*bed.Node
	plan     plan
	programs []Program
	variants []Variant
	serial   atomic.Int64
	logf     func(string, ...any)
}

// job is a container with an id of its own.
func (b *bench) job(kind string, v Variant, p Program) job {
	return job{id: fmt.Sprintf("%s%d", kind, b.serial.Add(1)), variant: v, program: p, cache: b.Cache()}
}

// each calls f for every variant of every program, round robin: what disturbs
// the machine for a while disturbs all of them.
func (b *bench) each(f func(Variant, Program) error) error {
	for _, p := range b.programs {
		for _, v := range b.variants {
			if !p.runs(v) {
				continue
			}
			if err := f(v, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// probe finds out which variants can be measured here, and why others cannot. It
// leaves everything warm.
func (b *bench) probe(ctx context.Context) (missing []Missing, err error) {
	var usable []Variant
	for _, v := range b.variants {
		if reason := b.try(ctx, v); reason != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			missing = append(missing, Missing{v.Name, reason.Error()})
			b.logf("not measured: %s: %v", v.Name, reason)
			continue
		}
		usable = append(usable, v)
	}
	b.variants = usable
	return missing, b.each(func(v Variant, p Program) error {
		_, err := b.live(ctx, b.job("warm", v, p))
		return err
	})
}

// try runs the smallest program with a variant, and sees whether it is the
// launcher that was asked for that has made the container.
func (b *bench) try(ctx context.Context, v Variant) error {
	j := b.job("idle", v, b.programs[0])
	c, err := b.idle(ctx, j)
	if err != nil {
		return err
	}
	_, noRunc := os.Stat(bundle.Dir(b.Bundle(j.id)).RuncRoot())
	if err := c.remove(ctx); err != nil {
		return err
	}
	switch {
	case v.Launcher == "direct" && noRunc == nil:
		return fmt.Errorf("it was runc that made the container: this shim has no direct launcher, or does not use it for this spec")
	case v.Launcher == "runc" && noRunc != nil:
		return fmt.Errorf("it was not runc that made the container")
	}
	return nil
}

// warm measures lives with everything in memory.
func (b *bench) warm(ctx context.Context) ([]Times, error) {
	return b.rounds(b.plan.warm, func(v Variant, p Program) (times, error) {
		return b.live(ctx, b.job("warm", v, p))
	})
}

// cold measures lives on a node that has never run the program: without compiled
// code, and with the files of the runtime and the image on disk alone.
func (b *bench) cold(ctx context.Context) ([]Times, error) {
	return b.rounds(b.plan.cold, func(v Variant, p Program) (times, error) {
		j := b.job("cold", v, p)
		j.cache = filepath.Join(b.Dir, j.id)
		if err := b.forgetFiles(); err != nil {
			return times{}, err
		}
		t, err := b.live(ctx, j)
		if err != nil {
			return t, err
		}
		return t, os.RemoveAll(j.cache)
	})
}

// rounds runs all variants of all programs once per round.
func (b *bench) rounds(n int, one func(Variant, Program) (times, error)) ([]Times, error) {
	type key struct{ v, p string }
	seen := map[key][]times{}
	for range n {
		err := b.each(func(v Variant, p Program) error {
			t, err := one(v, p)
			seen[key{v.Name, p.Key}] = append(seen[key{v.Name, p.Key}], t)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var all []Times
	err := b.each(func(v Variant, p Program) error {
		all = append(all, summary(v, p, seen[key{v.Name, p.Key}]))
		return nil
	})
	return all, err
}

// rateRounds is into how many parts a measurement of a rate is cut, so that
// variants take turns.
const rateRounds = 4

// rates measures containers per second.
func (b *bench) rates(ctx context.Context) ([]Rate, error) {
	var all []Rate
	for _, p := range b.programs {
		n := of(b.plan.containers, p)
		if n == 0 {
			continue
		}
		for _, parallel := range b.plan.parallel {
			took := map[string]time.Duration{}
			for range rateRounds {
				for _, v := range b.variants {
					if !p.runs(v) {
						continue
					}
					d, err := b.burst(ctx, v, p, n/rateRounds, parallel)
					if err != nil {
						return nil, err
					}
					took[v.Name] += d
				}
			}
			for _, v := range b.variants {
				if d := took[v.Name]; d > 0 {
					all = append(all, Rate{v.Name, p.Name, parallel, n / rateRounds * rateRounds, float64(n/rateRounds*rateRounds) / d.Seconds()})
				}
			}
		}
	}
	return all, nil
}

// burst runs n containers, some at the same time, and returns how long that took.
func (b *bench) burst(ctx context.Context, v Variant, p Program, n, parallel int) (time.Duration, error) {
	begin := time.Now()
	err := inParallel(parallel, n, func(int) error {
		_, err := b.live(ctx, b.job("rate", v, p))
		return err
	})
	return time.Since(begin), err
}

// inParallel calls f(0) to f(n-1), at most width at the same time.
func inParallel(width, n int, f func(int) error) error {
	var next atomic.Int64
	errs := make(chan error, width)
	for range width {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					errs <- nil
					return
				}
				if err := f(i); err != nil {
					next.Store(int64(n))
					errs <- err
					return
				}
			}
		}()
	}
	var first error
	for range width {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

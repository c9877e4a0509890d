// Command servers compares ways to run an HTTP server as a container: in one run, on one
// containerd, taking turns.
//
//	go run . [-quick] [-json FILE] [-docs DIR]
//	go run . -from FILE [-docs DIR]
//
// A program in Go and one in C run as modules under our shim, as the same modules under
// wazero's own command, which has sockets of its own, and natively; the latter two under
// runc. It measures answers per second, how long they take and what they cost, and prints tables,
// and writes JSON and docs/server-benchmarks.md. All is on loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
	"github.com/containerd-wazero/containerd-shim-wazero/bench/servers/bodies"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// preparedEnv says that tools and programs are there: within the namespaces in which it
// measures there is no network to fetch them.
const preparedEnv = "BENCH_PREPARED"

// settings are the command line.
type settings struct {
	quick            bool
	only             string
	shim, json, from string
	docs             string
}

func main() {
	var s settings
	flag.BoolVar(&s.quick, "quick", false, "measure for a minute instead of eight")
	flag.StringVar(&s.only, "only", "", "measure only loads of whose name this is a `part`")
	flag.StringVar(&s.shim, "shim", filepath.Join(root(), "bin"), "`directory` of containerd-shim-wazero-v1")
	flag.StringVar(&s.json, "json", "", "write all figures to this `file`")
	flag.StringVar(&s.from, "from", "", "measure nothing, read this `file` that -json has written")
	flag.StringVar(&s.docs, "docs", "", "write server-benchmarks.md and its figures to this `directory`")
	flag.Parse()
	if s.from != "" {
		os.Exit(exit(s.show))
	}
	if os.Getenv(preparedEnv) == "" {
		fmt.Fprintln(os.Stderr, "building tools and programs, if they are not there yet")
		if _, _, err := s.prepare(context.Background()); err != nil {
			os.Exit(exit(func() error { return err }))
		}
		os.Setenv(preparedEnv, "1")
	}
	os.Exit(isolated.Run(func() int { return exit(s.run) }))
}

func exit(f func() error) int {
	if err := f(); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		return 1
	}
	return 0
}

// root is the top directory of the repository.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// prepare finds or builds all that is needed.
func (s settings) prepare(ctx context.Context) (bin bed.Binaries, all *built, err error) {
	b, err := bed.NewBuilder(root())
	if err != nil {
		return bin, nil, err
	}
	if bin, err = b.Binaries(ctx, s.shim); err != nil {
		return bin, nil, err
	}
	all, err = build(ctx, b)
	return bin, all, err
}

// show prints what was measured before.
func (s settings) show() error {
	r, err := readResult(s.from)
	if err != nil {
		return err
	}
	return s.report(r)
}

func (s settings) report(r *Result) error {
	r.print(os.Stdout)
	if s.docs == "" {
		return nil
	}
	return r.document(s.docs)
}

// run measures.
func (s settings) run() (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begin := time.Now()
	if len(casesOf(s.only)) == 0 {
		return fmt.Errorf("there is no load %q, but these: %v", s.only, casesOf(""))
	}
	bin, all, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	if err := widenPorts(); err != nil {
		return err
	}
	n, err := bed.Start(bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Stop(err != nil)) }()
	b := &bench{
		Node: n, plan: fullPlan, cases: casesOf(s.only), variants: all.variants(n.Cache()), bodies: bodies.All(), running: map[key]*container{}, mute: map[key]string{},
		logf: func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
		},
	}
	if s.quick {
		b.plan = quickPlan
	}
	r := &Result{Machine: bed.This(bin), Quick: s.quick, Rounds: b.plan.rounds, Load: b.plan.long.Seconds(), Variants: b.variants}
	if err := b.measure(n.Context(ctx), r); err != nil {
		return err
	}
	r.Seconds = time.Since(begin).Seconds()
	if s.json != "" {
		if err := bed.Write(s.json, r); err != nil {
			return err
		}
	}
	return s.report(r)
}

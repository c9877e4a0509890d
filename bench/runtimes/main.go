// Command runtimes compares containerd's runtimes side by side: in one run, on
// one containerd, taking turns.
//
//	go run . [-quick] [-runtime NAME=RUNTIME[,native]]… [-json FILE] [-docs DIR]
//	go run . -from FILE [-docs DIR]
//
// It measures how long a container takes through its life, how many go through
// theirs per second, and what idle ones cost in memory, for four programs: as a
// module under our shim with each launcher, natively under runc, and under two
// shims that do nothing: the floor, which is the barest, and one that is built on
// containerd's framework for shims. It prints tables and how the figures stand to the
// targets of issue 5, and writes JSON and docs/benchmarks.md with its charts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/bed"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// preparedEnv says that tools and programs are there: within the namespaces in
// which it measures there is no network to fetch them.
const preparedEnv = "BENCH_PREPARED"

// settings are the command line.
type settings struct {
	quick  bool
	others others
	only   string
	shim   string
	json   string
	from   string
	docs   string
}

func main() {
	var s settings
	flag.BoolVar(&s.quick, "quick", false, "measure for about a minute instead of ten")
	flag.Var(&s.others, "runtime", "another runtime on this machine's PATH: `NAME=RUNTIME`, with \",native\" behind it if it runs no Wasm; may be repeated")
	flag.StringVar(&s.only, "only", "", "measure only these `parts`, separated by commas: warm, cold, rates, memory")
	flag.StringVar(&s.shim, "shim", filepath.Join(root(), "bin"), "`directory` of containerd-shim-wazero-v1")
	flag.StringVar(&s.json, "json", "", "write all figures to this `file`")
	flag.StringVar(&s.from, "from", "", "measure nothing, read this `file` that -json has written")
	flag.StringVar(&s.docs, "docs", "", "write benchmarks.md and its charts to this `directory`")
	flag.Parse()
	if s.from != "" {
		os.Exit(exit(func() error { return s.show() }))
	}
	if os.Getenv(preparedEnv) == "" {
		fmt.Fprintln(os.Stderr, "building tools and programs, if they are not there yet")
		if _, _, err := prepare(context.Background(), s, ""); err != nil {
			os.Exit(exit(func() error { return err }))
		}
		os.Setenv(preparedEnv, "1")
	}
	os.Exit(isolated.Run(func() int { return exit(s.run) }))
}

func exit(f func() error) int {
	if err := f(); err != nil {
		fmt.Fprintln(os.Stderr, "runtimes:", err)
		return 1
	}
	return 0
}

// root is the top directory of the repository.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// prepare finds or builds all that is needed; the shims that do nothing go to dir, or
// nowhere if it is "".
func prepare(ctx context.Context, s settings, dir string) (bed.Binaries, []Program, error) {
	all, err := bed.NewBuilder(root())
	if err != nil {
		return bed.Binaries{}, nil, err
	}
	b := builder{source: filepath.Join(root(), "bench", "runtimes"), Builder: all}
	bin, err := b.Binaries(ctx, s.shim)
	if err != nil {
		return bin, nil, err
	}
	bin.Others = []string{dir}
	for _, name := range references {
		out := os.DevNull
		if dir != "" {
			out = filepath.Join(dir, "containerd-shim-"+name+"-v1")
		}
		build := exec.CommandContext(ctx, "go", "build", "-C", b.source, "-trimpath", "-ldflags=-s -w", "-o", out, "./"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := bed.Tool(build); err != nil {
			return bin, nil, err
		}
	}
	programs, err := b.programs(ctx)
	return bin, programs, err
}

// show prints and draws what was measured before.
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
	scratch, err := os.MkdirTemp("", "shims-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	bin, programs, err := prepare(ctx, s, scratch)
	if err != nil {
		return err
	}
	n, err := bed.Start(bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Stop(err != nil)) }()
	b := &bench{
		Node: n, plan: fullPlan, programs: programs, variants: append(slices.Clone(variants), s.others...),
		logf: func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
		},
	}
	if s.quick {
		b.plan = quickPlan
	}
	r := &Result{Machine: bed.This(bin), Quick: s.quick, Programs: programs}
	ctx = n.Context(ctx)
	if err := b.measure(ctx, r, s.parts()); err != nil {
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

func (s settings) parts() []string {
	if s.only == "" {
		return []string{"warm", "cold", "rates", "memory"}
	}
	return strings.Split(s.only, ",")
}

// measure fills the result.
func (b *bench) measure(ctx context.Context, r *Result, parts []string) (err error) {
	for _, p := range b.programs {
		for _, img := range p.Images {
			if err := b.Load(ctx, img); err != nil {
				return err
			}
		}
	}
	b.logf("images are there")
	if r.Missing, err = b.probe(ctx); err != nil {
		return err
	}
	r.Variants = b.variants
	for _, part := range parts {
		b.logf("%s", part)
		switch part {
		case "warm":
			r.Warm, err = b.warm(ctx)
		case "cold":
			r.Cold, err = b.cold(ctx)
		case "rates":
			r.Rates, err = b.rates(ctx)
		case "memory":
			r.Memory, err = b.memory(ctx)
		default:
			err = fmt.Errorf("there is no part %q", part)
		}
		if err != nil {
			return err
		}
	}
	b.logf("done")
	return nil
}

// Command wasi measures what guests' calls cost: files through the host of this
// project, with each of its ways to resolve paths, and through wazero's own. All run
// the same guest, in turns.
//
//	go run ./bench/wasi [-n 7] [-only NAME] [-t 150ms]
//
// The ways are those for a directory that is not the process's root, one that is, and
// one that is and has no procfs below. It builds its guest with clang-14 and wasi-libc,
// and makes a directory in $TMPDIR its root, as root.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// operations are what the guest can repeat, with a first guess of how often that can
// be done in a tenth of a second.
var operations = []struct {
	name  string
	guess int
}{
	{"open+read", 5000}, {"open+read deep", 5000}, {"open+read link", 5000}, {"stat", 20000}, {"stat deep", 20000}, {"stat missing", 20000},
	{"fstat", 50000}, {"read 1", 50000}, {"read 4k", 50000}, {"read 64k", 5000}, {"write 1", 20000}, {"write 4k", 20000}, {"write 64k", 5000},
	{"writev 8", 20000}, {"seek", 50000}, {"create+unlink", 3000}, {"readdir 1000", 50},
}

func main() {
	n := flag.Int("n", 7, "`rounds`, of which the median is shown")
	only := flag.String("only", "", "`names`, separated by commas, of the only operations")
	long := flag.Duration("t", 150*time.Millisecond, "`time` that each measurement is to take")
	flag.Parse()
	if err := measure(context.Background(), *n, *only, *long); err != nil {
		fmt.Fprintln(os.Stderr, "wasi:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, rounds int, only string, long time.Duration) error {
	dir, err := os.MkdirTemp("", "wasi-")
	if err != nil {
		return err
	}
	outside, err := os.Open("/")
	if err != nil {
		return err
	}
	defer func() {
		if unix.Fchdir(int(outside.Fd())) == nil && unix.Chroot(".") == nil {
			os.RemoveAll(dir)
		}
		outside.Close()
	}()
	module, err := build(ctx, dir)
	if err != nil {
		return err
	}
	if err := errors.Join(furnish(dir), furnish(filepath.Join(dir, elsewhere)), enter(dir)); err != nil {
		return err
	}
	hosts, err := newHosts(ctx, module)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "µs per operation\t")
	for _, h := range hosts {
		fmt.Fprintf(table, "%s\t", h.name)
	}
	for _, h := range hosts[1:] {
		fmt.Fprintf(table, "%s ÷ %s\t", hosts[0].name, h.name)
	}
	fmt.Fprintln(table)
	for _, op := range operations {
		if only != "" && !slices.Contains(strings.Split(only, ","), op.name) {
			continue
		}
		times, err := compare(ctx, hosts, op.name, op.guess, rounds, long)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t", op.name)
		for _, t := range times {
			fmt.Fprintf(table, "%.2f\t", float64(t)/float64(time.Microsecond))
		}
		for _, t := range times[1:] {
			fmt.Fprintf(table, "%.2f\t", float64(times[0])/float64(t))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// elsewhere is where the same files are a second time.
const elsewhere = "/elsewhere"

// enter makes a directory the root of this process, as it is for a runner.
func enter(dir string) error {
	return errors.Join(unix.Chroot(dir), unix.Chdir("/"))
}

// compare is what an operation costs on each host: medians of rounds in which each has
// its turn.
func compare(ctx context.Context, hosts []*host, op string, guess, rounds int, long time.Duration) ([]time.Duration, error) {
	first, err := hosts[0].run(ctx, op, guess)
	if err != nil {
		return nil, err
	}
	times := max(int(int64(guess)*int64(long)/max(int64(first), 1)), 1)
	all := make([][]time.Duration, len(hosts))
	for round := range rounds {
		for i := range hosts {
			i = (i + round) % len(hosts)
			took, err := hosts[i].run(ctx, op, times)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], took/time.Duration(times))
		}
	}
	var medians []time.Duration
	for _, list := range all {
		slices.SortFunc(list, cmp.Compare[time.Duration])
		medians = append(medians, list[len(list)/2])
	}
	return medians, nil
}

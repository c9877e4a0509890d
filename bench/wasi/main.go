// Command wasi measures what guests' calls cost: files through the host of this
// project, with both of its ways to resolve paths, and through wazero's own. All run
// the same guest, in turns.
//
//	go run ./bench/wasi [-n 7] [-only NAME] [-t 150ms]
//
// It builds its guest with clang-14 and wasi-libc, and works in $TMPDIR.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
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
	defer os.RemoveAll(dir)
	module, err := build(ctx, dir)
	if err != nil {
		return err
	}
	root, err := furnish(dir)
	if err != nil {
		return err
	}
	hosts, err := newHosts(ctx, module, root)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "µs per operation\twazero\twalk\tkernel\tw/walk\tw/kernel\t\n")
	for _, op := range operations {
		if only != "" && !slices.Contains(strings.Split(only, ","), op.name) {
			continue
		}
		times, err := compare(ctx, hosts, op.name, op.guess, rounds, long)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", op.name, micro(times[0]), micro(times[1]), micro(times[2]),
			float64(times[0])/float64(times[1]), float64(times[0])/float64(times[2]))
	}
	return table.Flush()
}

func micro(d time.Duration) float64 { return float64(d) / 1000 }

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

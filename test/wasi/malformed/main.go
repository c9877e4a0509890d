// Malformed runs guests that call the host with whatever there is: pointers out of
// memory, buffers that overlap, huge counts, closed descriptors and those of another
// kind, paths that lead out, sockets. Whatever they pass, they have to get an error, and the
// runner must not end before they do:
//
//	malformed [-time 30s] [-seed N] SHIM DIRECTORY
//
// DIRECTORY should be on a file system of little space: guests fill it. The network
// should be none but a loopback: guests connect to whatever comes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// mostFiles are what one guest has open at once, or as many as it may.
const mostFiles = 1 << 16

func main() {
	length := flag.Duration("time", 30*time.Second, "how long to run")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "the first guest")
	parallel := flag.Int("parallel", 2, "guests at once")
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *seed, *length, *parallel); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(shim, dir string, seed uint64, length time.Duration, parallel int) error {
	fmt.Printf("malformed calls: the first guest has the seed %d\n", seed)
	if _, err := try(context.Background(), shim, dir+"/many", manyFiles(mostFiles)); err != nil {
		return fmt.Errorf("%d open files: %w", mostFiles, err)
	}
	begin := time.Now()
	var next, blocked atomic.Uint64
	var failed atomic.Bool
	var workers sync.WaitGroup
	for w := range parallel {
		workers.Go(func() {
			for first := w == 0; (first || time.Since(begin) < length) && !failed.Load(); first = false {
				n := seed + next.Add(1) - 1
				waited, err := try(context.Background(), shim, fmt.Sprintf("%s/%d", dir, w), guest(n))
				if err != nil {
					failed.Store(true)
					fmt.Fprintf(os.Stderr, "guest of the seed %d: %v\n", n, err)
				}
				if waited {
					blocked.Add(1)
				}
			}
		})
	}
	workers.Wait()
	if failed.Load() {
		return fmt.Errorf("failed; to see one again: -seed N -time 0")
	}
	fmt.Printf("%d guests with %d calls each, %d of them ended while they waited\n", next.Load(), callsPerGuest, blocked.Load())
	return nil
}

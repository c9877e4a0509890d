// Command tools builds and caches what the tests and the demo need: containerd
// of several versions, runc, dockerd, the docker client, a linter and a few
// published Wasm programs. Nothing is installed into the system but, where
// something is missing on a Debian, packages by apt-get.
//
//	go run ./test/tools get containerd 2.4.2   # prints the directory
//	go run ./test/tools packages               # compilers and libraries
//	go run ./test/tools all                    # everything, in order of use
//	go run ./test/tools list
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: tools get TOOL [VERSION]   build or fetch it once, print its directory
       tools all                  every tool of the list
       tools packages             packages of the distribution that are needed
       tools rustc ARGUMENT…      compile for WASI
       tools list                 what can be had, and whether it is there`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tools:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	cache, err := openCache()
	if err != nil {
		return err
	}
	switch cmd, rest := args[0], args[1:]; {
	case cmd == "get" && (len(rest) == 1 || len(rest) == 2):
		t, err := find(rest...)
		if err != nil {
			return err
		}
		dir, err := cache.get(ctx, t)
		if err != nil {
			return err
		}
		fmt.Println(dir)
		return nil
	case cmd == "all" && len(rest) == 0:
		return all(ctx, cache)
	case cmd == "packages" && len(rest) == 0:
		return installPackages(ctx)
	case cmd == "rustc":
		return rustc(ctx, rest)
	case cmd == "list" && len(rest) == 0:
		for _, t := range catalogue() {
			state := "missing"
			if cache.has(t) {
				state = "ready"
			}
			fmt.Printf("%-20s %-10s %s\n", t.name, t.version, state)
		}
		return nil
	}
	return errors.New(usage)
}

// all builds one tool after the other: each build uses every CPU by itself.
func all(ctx context.Context, c *cache) error {
	if err := installPackages(ctx); err != nil {
		return err
	}
	for _, t := range catalogue() {
		_, err := c.get(ctx, t)
		if errors.Is(err, errors.ErrUnsupported) {
			fmt.Fprintln(os.Stderr, "left out:", err) // its tests say so, too
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Package cli is what the binary can be asked for by people: to compile modules
// before a container needs them, and to look after the cache of compiled code.
//
// containerd runs the same binary with flags first and start or delete as its only
// words, so the commands here can never be meant by it.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/printable"
)

const program = "containerd-shim-wazero-v1"

// Exit statuses.
const (
	statusFailed = 1 // something could not be done
	statusUsage  = 2 // the command line makes no sense
)

// Process is what the commands get from their caller.
type Process struct {
	// Args is the command line without the program's name.
	Args []string
	// Getenv looks up a variable of the environment.
	Getenv         func(string) string
	Stdout, Stderr io.Writer
}

// command is one of the binary's.
type command struct {
	help string
	run  func(ctx context.Context, p Process, args []string) error
}

// commands by their words.
func commands() map[string]command {
	return map[string]command{
		"precompile":   {precompileHelp, precompile},
		"cache ls":     {lsHelp, cacheLs},
		"cache rm":     {rmHelp, cacheRm},
		"cache prune":  {pruneHelp, cachePrune},
		"cache verify": {verifyHelp, cacheVerify},
	}
}

const cacheHelp = `Look after the cache of compiled code.

  ` + program + ` cache ls       list what is in it
  ` + program + ` cache rm       remove code of modules
  ` + program + ` cache prune    remove what is of no use, and what is too much
  ` + program + ` cache verify   check every bit of it

Each has --help. The cache looks after itself: nothing of this has to be done.
`

// Wants tells whether a command line, without the program's name, is for Main.
func Wants(args []string) bool {
	return len(args) > 0 && (args[0] == "precompile" || args[0] == "cache")
}

// Main carries a command out and returns the exit status. SIGINT and SIGTERM end
// it in an orderly way.
func Main(p Process) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, p)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return statusFailed
	}
	fmt.Fprintf(p.Stderr, "%s: %s\n", program, printable.Text(err.Error()))
	if errors.As(err, &usage) {
		return statusUsage
	}
	return statusFailed
}

func run(ctx context.Context, p Process) error {
	words, args := p.Args[0], p.Args[1:]
	if words == "cache" {
		if len(args) == 0 || isHelp(args[0]) {
			_, err := io.WriteString(p.Stdout, cacheHelp)
			return err
		}
		words, args = words+" "+args[0], args[1:]
	}
	c, ok := commands()[words]
	if !ok {
		return &usageError{fmt.Errorf("there is no command %q: see %s cache --help", words, program)}
	}
	err := c.run(ctx, p, args)
	if errors.Is(err, flag.ErrHelp) {
		_, err = io.WriteString(p.Stdout, c.help)
		return err
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return &usageError{fmt.Errorf("%w: see %s %s --help", err, program, words)}
	}
	return err
}

func isHelp(arg string) bool {
	return arg == "-h" || arg == "-help" || arg == "--help" || arg == "help"
}

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// errReported stands for errors that the user has been told of.
var errReported = errors.New("something failed")

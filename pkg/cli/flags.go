package cli

import (
	"errors"
	"flag"
	"io"
)

// newFlags is a set of flags whose errors and help are ours to print.
func newFlags() *flag.FlagSet {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	return set
}

// parse returns the arguments that are no flags; flags may stand before, between
// and after them, and "--" ends them.
func parse(set *flag.FlagSet, args []string) ([]string, error) {
	var words []string
	for {
		if err := set.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, &usageError{err}
		}
		rest := set.Args()
		if used := len(args) - len(rest); len(rest) == 0 || used > 0 && args[used-1] == "--" {
			return append(words, rest...), nil
		}
		words, args = append(words, rest[0]), rest[1:]
	}
}

// parseNoWords is parse for commands without arguments.
func parseNoWords(set *flag.FlagSet, args []string) error {
	words, err := parse(set, args)
	if err == nil && len(words) > 0 {
		err = &usageError{errors.New("it takes no arguments")}
	}
	return err
}

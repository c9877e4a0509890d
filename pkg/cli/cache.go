package cli

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/setup"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

// common are the flags that all commands have.
type common struct {
	config, dir string
	json        bool
}

// flags is the set of flags of a command, which adds its own.
func (c *common) flags() *flag.FlagSet {
	set := newFlags()
	set.StringVar(&c.config, "config", "", "")
	set.StringVar(&c.dir, "cache-dir", "", "")
	set.BoolVar(&c.json, "json", false, "")
	return set
}

const commonHelp = `  --config FILE      the runtime's options: the file that ConfigPath names
  --cache-dir DIR    where the cache is, if not where --config or the default says
  --json             print JSON
`

// options are those of the file, or the defaults. They are read after checking
// that the user may do anything at all.
func (c *common) options() (options.Options, error) {
	if os.Geteuid() != 0 {
		return options.Options{}, errors.New("the cache belongs to root: run this as root")
	}
	var o options.Options
	if c.config != "" {
		path, err := filepath.Abs(c.config)
		if err != nil {
			return o, err
		}
		if o, err = options.ReadFile(path); err != nil {
			return o, err
		}
	}
	if c.dir != "" {
		path, err := filepath.Abs(c.dir)
		if err != nil {
			return o, err
		}
		o.CacheDir = path
	}
	return o, nil
}

// cache is the one of the options, for looking after it.
func (c *common) cache(p Process) (*codecache.Cache, options.Options, error) {
	o, err := c.options()
	if err != nil {
		return nil, o, err
	}
	o.NoCache = false // what is there can be looked after
	return setup.With(o, nil, logger(p)), o, nil
}

// openCache opens the cache for a command without arguments and flags of its own.
func openCache(p Process, args []string) (common, *codecache.Cache, error) {
	var c common
	if err := parseNoWords(c.flags(), args); err != nil {
		return c, nil, err
	}
	cache, _, err := c.cache(p)
	return c, cache, err
}

// logger shows what the shim would write into its log.
func logger(p Process) *log.Entry {
	l := logrus.New()
	l.SetOutput(p.Stderr)
	l.SetFormatter(formatter{})
	l.SetLevel(logrus.WarnLevel)
	return logrus.NewEntry(l)
}

// formatter makes a line for people.
type formatter struct{}

func (formatter) Format(e *logrus.Entry) ([]byte, error) {
	line := fmt.Sprintf("%s: %s: %s", program, e.Level, e.Message)
	if err, ok := e.Data[logrus.ErrorKey].(error); ok {
		line += ": " + err.Error()
	}
	return append([]byte(line), '\n'), nil
}

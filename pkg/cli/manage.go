package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
)

const lsHelp = `List the compiled code in the cache, what was used last first.

  ` + program + ` cache ls [FLAGS]

MODULE is the begin of the module's sha256 digest, WASM its size, CODE that of its
compiled code. An entry is IN USE while a container runs with it. Its STATE is ok;
or old, if it is for another version of the shim or another CPU; or what is wrong
with it. Old and broken entries are replaced when they are needed, or pruned.

` + commonHelp

const rmHelp = `Remove the compiled code of modules.

  ` + program + ` cache rm [FLAGS] DIGEST…

DIGEST is the sha256 digest of a module, or an entry's key (cache ls --json), or as
much of the begin as makes it unique. Code in use is only removed with --force; its
containers go on with what they have.

  --force            also code that containers use
` + commonHelp

const pruneHelp = `Remove what is of no use: code for other versions of the shim and other CPUs, broken
entries, leftovers of processes that were killed. Then remove the code that was not
used for the longest time, until the cache has its maximal size. Code in use stays.

  ` + program + ` cache prune [FLAGS]

  --max-size SIZE    keep so much, as in 500MiB or 0, instead of cache_size
` + commonHelp

const verifyHelp = `Read the cache in full and remove entries that are damaged or not what they seem to
be. Every entry is also verified before each use, so this only finds it out earlier.
Entries whose format is that of another version of the shim stay as they are.
The exit status is 1 if something was wrong.

  ` + program + ` cache verify [FLAGS]

` + commonHelp

// entryJSON is what --json tells about an entry.
type entryJSON struct {
	Key        string    `json:"key"`
	Module     string    `json:"module,omitempty"`
	ModuleSize int64     `json:"module_size,omitempty"`
	Engine     string    `json:"engine,omitempty"`
	Size       int64     `json:"size"`
	Created    time.Time `json:"created"`
	Used       time.Time `json:"used"`
	InUse      bool      `json:"in_use"`
	Current    bool      `json:"current"`
	Problem    string    `json:"problem,omitempty"`
}

func forJSON(entries []codecache.Entry) []entryJSON {
	list := make([]entryJSON, 0, len(entries))
	for _, e := range entries {
		j := entryJSON{
			Key: e.Key.String(), ModuleSize: e.ModuleSize, Engine: string(e.Engine), Size: e.Size,
			Created: e.Created, Used: e.Used, InUse: e.InUse, Current: e.Current, Problem: e.Problem,
		}
		if e.Engine != "" {
			j.Module = e.Module.String()
		}
		list = append(list, j)
	}
	return list
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func cacheLs(_ context.Context, p Process, args []string) error {
	c, cache, err := openCache(p, args)
	if err != nil {
		return err
	}
	entries, err := cache.List()
	if err != nil {
		return err
	}
	if c.json {
		return printJSON(p.Stdout, forJSON(entries))
	}
	return printEntries(p.Stdout, entries, time.Now())
}

// printEntries prints a table.
func printEntries(w io.Writer, entries []codecache.Entry, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODULE\tWASM\tCODE\tLAST USED\tIN USE\tSTATE")
	for _, e := range entries {
		inUse := "no"
		if e.InUse {
			inUse = "yes"
		}
		wasm := "-"
		if e.ModuleSize > 0 {
			wasm = size(e.ModuleSize)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", shortName(e), wasm, size(e.Size), age(e.Used, now), inUse, state(e))
	}
	return t.Flush()
}

// shortName is what cache rm takes.
func shortName(e codecache.Entry) string {
	const digits = 12
	if e.Engine != "" {
		return e.Module.String()[:digits]
	}
	return e.Key.String()[:digits]
}

func state(e codecache.Entry) string {
	switch {
	case e.Problem != "":
		return e.Problem
	case !e.Current:
		return "old: for " + string(e.Engine)
	}
	return "ok"
}

// age is a time in the past, unless the clock was set back.
func age(used, now time.Time) string {
	if used.IsZero() {
		return "-"
	}
	if used.After(now) {
		return "in the future"
	}
	return units.HumanDuration(now.Sub(used)) + " ago"
}

// size is a number of bytes for people.
func size(n int64) string {
	return units.CustomSize("%.4g %s", float64(n), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB"})
}

func cacheRm(_ context.Context, p Process, args []string) error {
	var c common
	var force bool
	set := c.flags()
	set.BoolVar(&force, "force", false, "")
	digests, err := parse(set, args)
	if err != nil {
		return err
	}
	if len(digests) == 0 {
		return &usageError{errors.New("say which modules: their digests are missing")}
	}
	cache, _, err := c.cache(p)
	if err != nil {
		return err
	}
	var removed []codecache.Entry
	var failed []error
	for _, d := range digests {
		gone, err := cache.Remove(d, force)
		removed = append(removed, gone...)
		if err != nil {
			failed = append(failed, err)
		}
	}
	return report(p, c, removed, failed)
}

func cachePrune(_ context.Context, p Process, args []string) error {
	var c common
	var max string
	set := c.flags()
	set.StringVar(&max, "max-size", "", "")
	if err := parseNoWords(set, args); err != nil {
		return err
	}
	limit := int64(-1)
	if max != "" {
		var err error
		if limit, err = units.RAMInBytes(max); err != nil || limit < 0 {
			return &usageError{fmt.Errorf("--max-size %q is no size: write it as 500MiB or 2GiB", max)}
		}
	}
	cache, o, err := c.cache(p)
	if err != nil {
		return err
	}
	if limit < 0 {
		if limit = o.CacheSize; limit == 0 {
			limit = codecache.DefaultMaxSize
		}
	}
	pruned, err := cache.Prune(limit)
	if c.json {
		out := struct {
			Removed   []entryJSON `json:"removed"`
			Size      int64       `json:"size"`
			Leftovers int         `json:"leftovers"`
			Hints     int         `json:"hints"`
		}{forJSON(pruned.Entries), pruned.Size, pruned.Leftovers, pruned.Hints}
		return errors.Join(err, printJSON(p.Stdout, out))
	}
	printRemoved(p.Stdout, pruned.Entries)
	fmt.Fprintf(p.Stdout, "removed %s of compiled code; leftovers of other processes: %d\n", size(pruned.Size), pruned.Leftovers+pruned.Hints)
	return err
}

func cacheVerify(_ context.Context, p Process, args []string) error {
	c, cache, err := openCache(p, args)
	if err != nil {
		return err
	}
	verified, err := cache.Verify()
	if c.json {
		out := struct {
			Intact  int         `json:"intact"`
			Unknown int         `json:"unknown"`
			Removed []entryJSON `json:"removed"`
		}{verified.Intact, verified.Unknown, forJSON(verified.Removed)}
		err = errors.Join(err, printJSON(p.Stdout, out))
	} else {
		for _, e := range verified.Removed {
			fmt.Fprintf(p.Stdout, "%s removed: %s\n", shortName(e), e.Problem)
		}
		fmt.Fprintf(p.Stdout, "%d intact, %d not\n", verified.Intact, len(verified.Removed))
		if verified.Unknown > 0 {
			fmt.Fprintf(p.Stdout, "not verified because their format is another version's: %d\n", verified.Unknown)
		}
	}
	if err == nil && len(verified.Removed) > 0 {
		return errReported
	}
	return err
}

// report tells what was removed and what not.
func report(p Process, c common, removed []codecache.Entry, failed []error) error {
	if c.json {
		if err := printJSON(p.Stdout, forJSON(removed)); err != nil {
			return err
		}
	} else {
		printRemoved(p.Stdout, removed)
	}
	for _, err := range failed {
		fmt.Fprintf(p.Stderr, "%s: %v\n", program, err)
	}
	if len(failed) > 0 {
		return errReported
	}
	return nil
}

func printRemoved(w io.Writer, removed []codecache.Entry) {
	for _, e := range removed {
		fmt.Fprintf(w, "%s removed (%s)\n", shortName(e), size(e.Size))
	}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// goModule builds commands inside a module that is written for the purpose. It
// is for modules whose own replace directives point into their repository, which
// the published module does not have.
type goModule struct {
	module   string
	replaces func(version string) []string // lines of the directive: "A => B v1"
	commands map[string]string             // name of the file: package
	set      map[string]string             // variables that the linker sets
}

func (g goModule) make(ctx context.Context, j job) error {
	dir := filepath.Join(j.work, "src")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	var mod bytes.Buffer
	fmt.Fprintf(&mod, "module tools.invalid/build\n\nrequire %s v%s\n", g.module, j.version)
	if g.replaces != nil {
		fmt.Fprintf(&mod, "\nreplace (\n\t%s\n)\n", strings.Join(g.replaces(j.version), "\n\t"))
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), mod.Bytes(), 0o644); err != nil {
		return err
	}
	// The language and the defaults of runtime settings are those of the module.
	if err := runGo(ctx, dir, false, nil, nil, "get", g.module+"@v"+j.version); err != nil {
		return err
	}
	names := make([]string, 0, len(g.commands))
	for name := range g.commands {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(os.Stderr, "  %s …\n", name)
		args := append([]string{"build", "-o", filepath.Join(j.out, name)}, buildFlags("", g.set)...)
		if err := runGo(ctx, dir, false, nil, nil, append(args, g.commands[name])...); err != nil {
			return err
		}
	}
	return nil
}

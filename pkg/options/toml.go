package options

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
)

// maxTOML bounds a configuration in bytes.
const maxTOML = 1 << 20

// key is one option in TOML. set is nil for an option of runc's shim that has no
// meaning here; it is accepted so that a table written for runc works.
type key struct {
	name string
	set  func(o *Options, value any) error
	get  func(o Options) any
}

func (k key) ignored() bool { return k.set == nil }

// keys lists the options in the order in which messages name them. docs/options.md
// explains each.
func keys() []key {
	return []key{
		text("BinaryName", func(o *Options) *string { return &o.RuncBinary }),
		boolean("SystemdCgroup", func(o *Options) *bool { return &o.SystemdCgroup }),
		text("ShimCgroup", func(o *Options) *string { return &o.ShimCgroup }),
		number("IoUid", func(o *Options) *uint32 { return &o.IoUID }),
		number("IoGid", func(o *Options) *uint32 { return &o.IoGID }),
		boolean("NoPivotRoot", func(o *Options) *bool { return &o.NoPivotRoot }),
		boolean("NoNewKeyring", func(o *Options) *bool { return &o.NoNewKeyring }),
		text("Root", func(o *Options) *string { return &o.Root }),
		boolean("allow_native_exec", func(o *Options) *bool { return &o.AllowNativeExec }),
		choice("launcher", func(o *Options) *string { return &o.Launcher }, Launchers...),
		text("cache_dir", func(o *Options) *string { return &o.CacheDir }),
		size("cache_size", func(o *Options) *int64 { return &o.CacheSize }),
		boolean("no_cache", func(o *Options) *bool { return &o.NoCache }),
		boolean("private_code", func(o *Options) *bool { return &o.PrivateCode }),
		choice("network", func(o *Options) *string { return &o.Network }, network.Names...),
		boolean("coarse_clock", func(o *Options) *bool { return &o.CoarseClock }),
		size("compile_memory", func(o *Options) *int64 { return &o.CompileMemory }),
		duration("compile_timeout", func(o *Options) *time.Duration { return &o.CompileTimeout }),
		number("compile_parallel", func(o *Options) *uint32 { return &o.CompileParallel }),
		boolean("debug", func(o *Options) *bool { return &o.Debug }),
		{name: "CriuPath"}, {name: "CriuImagePath"}, {name: "CriuWorkPath"},
		{name: "TaskApiAddress"}, {name: "TaskApiVersion"},
	}
}

// parseTOML decodes options; source names where they stand, for messages.
func parseTOML(data []byte, source string) (Options, []string, error) {
	var table map[string]any
	if err := toml.Unmarshal(data, &table); err != nil {
		var d *toml.DecodeError
		if errors.As(err, &d) {
			row, column := d.Position()
			return Options{}, nil, fmt.Errorf("read %s: line %d column %d: %w", source, row, column, err)
		}
		return Options{}, nil, fmt.Errorf("read %s: %w", source, err)
	}
	var o Options
	for _, k := range keys() {
		v, ok := table[k.name]
		if !ok {
			continue
		}
		delete(table, k.name)
		if k.ignored() {
			continue
		}
		if err := k.set(&o, v); err != nil {
			return Options{}, nil, fmt.Errorf("runtime option %s in %s: %w", k.name, source, err)
		}
	}
	var unknown []string
	for name := range table {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	return o, unknown, nil
}

// toml lists the options that differ from the default.
func (o Options) toml() []byte {
	var b strings.Builder
	for _, k := range keys() {
		if k.ignored() {
			continue
		}
		switch v := k.get(o).(type) {
		case string:
			if v != "" {
				line, err := toml.Marshal(map[string]string{k.name: v})
				if err == nil { // a string cannot fail
					b.Write(line)
				}
			}
		case bool:
			if v {
				fmt.Fprintf(&b, "%s = true\n", k.name)
			}
		case int64:
			if v != 0 {
				fmt.Fprintf(&b, "%s = %d\n", k.name, v)
			}
		case time.Duration:
			if v != 0 {
				fmt.Fprintf(&b, "%s = %q\n", k.name, v)
			}
		}
	}
	return []byte(b.String())
}

// readFile reads a configuration that a user named. It cannot be made to hang
// or to eat memory by a path that is not a plain file.
func readFile(path string) ([]byte, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("runtime option ConfigPath %q is not an absolute path", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("read runtime options (ConfigPath): %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read runtime options (ConfigPath): %w", err)
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("read runtime options (ConfigPath): %s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxTOML+1))
	if err != nil {
		return nil, fmt.Errorf("read runtime options (ConfigPath): %w", err)
	}
	if len(data) > maxTOML {
		return nil, fmt.Errorf("read runtime options (ConfigPath): %s is larger than %d bytes", path, maxTOML)
	}
	return data, nil
}

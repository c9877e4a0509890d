// Package options reads the runtime options with which a client asks for a
// container: containerd's CRI configuration, Docker's daemon.json, nerdctl and
// ctr send them in different wrappings (docs/options.md has one example each).
package options

import (
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Options are the runtime options that the shim knows. The zero value is right
// for most.
type Options struct {
	// RuncBinary (BinaryName) is the runc to use: a name that is looked up on
	// PATH or an absolute path. Empty means "runc".
	RuncBinary string
	// SystemdCgroup makes runc create cgroups by systemd.
	SystemdCgroup bool
	// ShimCgroup is a cgroup into which the shim itself is put.
	ShimCgroup string
	// IoUID and IoGID own the FIFOs of a container's output, if they are not 0;
	// otherwise its user does.
	IoUID, IoGID uint32
	// NoPivotRoot and NoNewKeyring are passed on to runc.
	NoPivotRoot, NoNewKeyring bool
	// Root is where a client thinks that runc keeps its state. The shim keeps
	// it in the bundle and does not use this value.
	Root string
	// AllowNativeExec (allow_native_exec) lets an exec into a Wasm container
	// run a native program of the image.
	AllowNativeExec bool
	// Launcher (launcher) is what creates Wasm containers, one of Launchers; empty
	// means LauncherAuto, or what LauncherEnv says.
	Launcher string
	// CacheDir (cache_dir) is where compiled code is kept; empty means
	// codecache's default.
	CacheDir string
	// CacheSize (cache_size) bounds the cache in bytes; 0 means codecache's
	// default.
	CacheSize int64
	// NoCache (no_cache) keeps no compiled code on disk.
	NoCache bool
	// PrivateCode (private_code) gives every container a copy of its machine
	// code instead of a mapping that containers of one module share.
	PrivateCode bool
	// Network (network) is how far guests may use the network of their containers,
	// one of network.Names; empty means the first.
	Network string
	// CoarseClock (coarse_clock) lets no guest see a time finer than a millisecond.
	CoarseClock bool
	// CompileMemory (compile_memory, bytes), CompileTimeout (compile_timeout) and
	// CompileParallel (compile_parallel, compilers on this node at once) bound
	// the compiler; 0 means the compiler's default.
	CompileMemory   int64
	CompileTimeout  time.Duration
	CompileParallel uint32
	// Debug (debug) makes the shim log more.
	Debug bool
}

// Values of Launcher.
const (
	// LauncherAuto: the shim itself where it understands the whole configuration,
	// otherwise runc.
	LauncherAuto = "auto"
	// LauncherDirect: the shim itself; what it does not understand is an error.
	LauncherDirect = "direct"
	// LauncherRunc: always runc.
	LauncherRunc = "runc"
)

// Launchers are the values of Launcher.
var Launchers = []string{LauncherAuto, LauncherDirect, LauncherRunc}

// LauncherEnv is the environment variable of containerd that replaces the default
// of Launcher.
const LauncherEnv = "WAZERO_SHIM_LAUNCHER"

// Names of the types in which options arrive, without the "type.googleapis.com/"
// that some clients put in front.
const (
	typeRunc    = "containerd.runc.v1.Options"
	typeRuntime = "runtimeoptions.v1.Options"
	// typeRuntimeCRI is what containerd 1.6 calls typeRuntime.
	typeRuntimeCRI = "cri.runtimeoptions.v1.Options"
)

// Parse reads the options of a request, an Any; an empty one stands for the defaults.
// The second result names the options in a table of containerd's configuration
// that the shim does not know, sorted: see UnknownError. In a file of their own
// they are an error. An error names the option and the file that it stands in.
func Parse(typeURL string, value []byte) (Options, []string, error) {
	if typeURL == "" && len(value) == 0 {
		return Options{}, nil, nil
	}
	name := typeURL[strings.LastIndexByte(typeURL, '/')+1:]
	switch name {
	case typeRunc:
		o, err := decodeRunc(value)
		if err != nil {
			return Options{}, nil, fmt.Errorf("decode runtime options of type %s: %w", name, err)
		}
		return o, nil, nil
	case typeRuntime, typeRuntimeCRI:
		path, body, err := decodeRuntime(value)
		if err != nil {
			return Options{}, nil, fmt.Errorf("decode runtime options of type %s: %w", name, err)
		}
		return fromRuntimeOptions(path, body)
	}
	return Options{}, nil, fmt.Errorf("runtime options have type %q: send %s or %s", typeURL, typeRuntime, typeRunc)
}

// fromRuntimeOptions prefers the file: containerd fills config_body only when
// config_path is empty, and so says the field's documentation.
func fromRuntimeOptions(path string, body []byte) (Options, []string, error) {
	if path != "" {
		o, err := ReadFile(path)
		return o, nil, err
	}
	if len(body) > maxTOML {
		return Options{}, nil, fmt.Errorf("runtime options are larger than %d bytes", maxTOML)
	}
	return parseTOML(body, "the runtime options")
}

// ReadFile reads the options in a file, which ConfigPath names in a request.
func ReadFile(path string) (Options, error) {
	data, err := readFile(path)
	if err != nil {
		return Options{}, err
	}
	o, unknown, err := parseTOML(data, path)
	if err == nil && len(unknown) > 0 {
		// The file is written for this shim alone. A body may be a whole table of
		// containerd's configuration, written for many.
		return Options{}, fmt.Errorf("%s: %w", path, UnknownError(unknown))
	}
	return o, err
}

// Encode is the inverse of Parse, for options that are shown to a user. Ours are
// not part of runc's type, so they go in as TOML.
func (o Options) Encode() (typeURL string, value []byte) {
	return typeRuntime, encodeRuntime(o.toml())
}

// UnknownError is the one sentence for options that the shim does not know, or
// nil when there are none. An option that is silently ignored is a typing error
// that nobody finds.
func UnknownError(unknown []string) error {
	if len(unknown) == 0 {
		return nil
	}
	var known []string
	for _, k := range keys() {
		if !k.ignored() {
			known = append(known, k.name)
		}
	}
	return fmt.Errorf("unknown runtime option %s: the shim knows %s", strings.Join(unknown, ", "), strings.Join(known, ", "))
}

// UsesSystemd tells whether systemd makes the cgroups of a container: by option,
// or by the form of its linux.cgroupsPath.
func (o Options) UsesSystemd(spec *specs.Spec) bool {
	return o.SystemdCgroup || (spec.Linux != nil && IsSystemdCgroupsPath(spec.Linux.CgroupsPath))
}

// IsSystemdCgroupsPath tells whether a spec's linux.cgroupsPath is in the form
// that only runc's systemd driver understands, "slice:prefix:name". Clients that
// use systemd (Docker, CRI) write it so even where they cannot set the option.
func IsSystemdCgroupsPath(path string) bool {
	return !strings.HasPrefix(path, "/") && strings.Count(path, ":") == 2
}

package quick

import (
	"errors"
	"unicode/utf8"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

// Environment that containerd sets for the shim. socketDirEnv is what
// containerd/shimtest sets besides the field of BootstrapParams.
const (
	ttrpcAddressEnv = "TTRPC_ADDRESS"
	socketDirEnv    = "SHIM_SOCKET_DIR"
	schedCoreEnv    = "SCHED_CORE"
)

// MaxStdin bounds what containerd sends, in bytes.
const MaxStdin = 10 << 20

// defaultSocketDir is where the shims of all runtimes listen
// (containerd 2.4: pkg/shim/util_unix.go).
const defaultSocketDir = "/run/containerd/s"

// Options are what start needs of the runtime options.
type Options struct {
	// ShimCgroup is a cgroup into which the daemon is put; empty for none.
	ShimCgroup string
	Debug      bool
}

// Types of runtime options.
const (
	typeRunc       = "containerd.runc.v1.Options"
	typeRuntime    = "runtimeoptions.v1.Options"
	typeRuntimeCRI = "cri.runtimeoptions.v1.Options"
)

// params is what start needs to know, whatever generation containerd is.
type params struct {
	// modern is true for containerd 2.3 and newer.
	modern       bool
	grpcAddress  string
	ttrpcAddress string
	socketDir    string
	debug        bool
	options      Options
}

// encodedAny is a google.protobuf.Any.
type encodedAny struct {
	typeURL string
	value   []byte
}

// readParams tells the generations of containerd apart by what they write to
// stdin of start: 2.3 and newer a BootstrapParams, older ones an Any with the
// runtime options, or nothing. An Any can be read as BootstrapParams too
// (its type becomes the id), therefore id and namespace must be those of the
// command line.
func (s *Start) readParams() (params, error) {
	ps := params{
		grpcAddress:  s.Address,
		ttrpcAddress: getenv(s.Environ, ttrpcAddressEnv),
		socketDir:    getenv(s.Environ, socketDirEnv),
		debug:        s.Debug,
	}
	bp, err := decodeBootstrapParams(s.Stdin)
	if err == nil && bp.id == s.ID && bp.namespace == s.Namespace {
		err = s.fromBootstrap(&ps, bp)
	} else {
		var any encodedAny
		if any, err = decodeAny(s.Stdin); err == nil {
			err = s.setOptions(&ps, any)
		} else {
			err = nil
		}
	}
	if ps.socketDir == "" {
		ps.socketDir = defaultSocketDir
	}
	return ps, err
}

func (s *Start) fromBootstrap(ps *params, bp bootstrapParams) error {
	ps.modern = true
	if bp.grpcAddress != "" {
		ps.grpcAddress = bp.grpcAddress
	}
	if bp.ttrpcAddress != "" {
		ps.ttrpcAddress = bp.ttrpcAddress
	}
	if bp.socketDir != "" {
		ps.socketDir = bp.socketDir
	}
	const logLevelDebug = -4
	if bp.logLevel <= logLevelDebug {
		ps.debug = true
	}
	for _, e := range bp.extensions {
		switch e.typeName() {
		case typeRunc, typeRuntime:
			if err := s.setOptions(ps, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// setOptions ignores what is wrong with the options: Create gets them as well,
// and its error reaches the user in better shape.
func (s *Start) setOptions(ps *params, any encodedAny) error {
	if ps.options == (Options{}) && any.irrelevant() {
		return nil
	}
	if s.Options == nil {
		return ErrUnsure
	}
	if o, err := s.Options(any.typeURL, any.value); err == nil {
		ps.options = o
		ps.debug = ps.debug || o.Debug
	}
	return nil
}

// irrelevant tells whether options, right or wrong, are surely nothing to start:
// they mention none of Options.
func (a encodedAny) irrelevant() bool {
	switch a.typeName() {
	case typeRunc:
		mentioned := false
		err := protofields.Each(a.value, func(n protofields.Number, value []byte, _ uint64) error {
			const shimCgroup = 3
			mentioned = mentioned || n == shimCgroup && len(value) > 0
			return nil
		})
		return err == nil && !mentioned
	case typeRuntime, typeRuntimeCRI:
		return runtimeOptionsIrrelevant(a.value)
	default:
		return a.typeURL == "" && len(a.value) == 0
	}
}

// runtimeOptionsIrrelevant looks for the names in TOML, where they may be escaped.
func runtimeOptionsIrrelevant(message []byte) bool {
	const (
		configPath = 2
		configBody = 3
	)
	var path string
	var toml []byte
	err := protofields.Each(message, func(n protofields.Number, value []byte, _ uint64) error {
		switch n {
		case configPath:
			path = string(value)
		case configBody:
			toml = value
		}
		return nil
	})
	if err != nil {
		return false
	}
	if path != "" {
		if path[0] != '/' {
			return false
		}
		const maxTOML = 1 << 20 // that of package options
		if toml, err = readFile(path, maxTOML); err != nil {
			return false
		}
	}
	for _, name := range []string{"debug", "ShimCgroup", `\`} {
		if index(toml, name) >= 0 {
			return false
		}
	}
	return true
}

type bootstrapParams struct {
	id, namespace             string
	logLevel                  int32
	grpcAddress, ttrpcAddress string
	socketDir                 string
	extensions                []encodedAny
}

// decodeBootstrapParams decodes containerd.runtime.bootstrap.v1.BootstrapParams.
func decodeBootstrapParams(message []byte) (p bootstrapParams, err error) {
	var ignored string
	err = protofields.Each(message, func(n protofields.Number, value []byte, number uint64) error {
		var into *string
		switch n {
		case 1:
			into = &p.id
		case 2:
			into = &p.namespace
		case 3:
			p.logLevel = int32(number)
		case 5:
			into = &p.ttrpcAddress
		case 6:
			into = &p.grpcAddress
		case 4, 7: // containerd's version, and its path
			into = &ignored
		case 8:
			a, err := decodeExtension(value)
			p.extensions = append(p.extensions, a)
			return err
		case 9:
			into = &p.socketDir
		}
		return setText(into, value)
	})
	return p, err
}

func decodeExtension(message []byte) (a encodedAny, err error) {
	err = protofields.Each(message, func(n protofields.Number, value []byte, _ uint64) (err error) {
		if n == 1 {
			a, err = decodeAny(value)
		}
		return err
	})
	return a, err
}

func decodeAny(message []byte) (a encodedAny, err error) {
	err = protofields.Each(message, func(n protofields.Number, value []byte, _ uint64) error {
		switch n {
		case 1:
			return setText(&a.typeURL, value)
		case 2:
			a.value = value
		}
		return nil
	})
	return a, err
}

// setText sets a string if there is one to set, and the field is of that type.
func setText(into *string, value []byte) error {
	if into == nil || value == nil {
		return nil
	}
	if !utf8.Valid(value) {
		return errors.New("not UTF-8")
	}
	*into = string(value)
	return nil
}

// typeName is the type without what stands before it.
func (a encodedAny) typeName() string {
	for i := len(a.typeURL) - 1; i >= 0; i-- {
		if a.typeURL[i] == '/' {
			return a.typeURL[i+1:]
		}
	}
	return a.typeURL
}

// answer is what containerd reads from start's standard output. Old versions read a
// plain address, which is understood by all; new ones are told about version 3 of the
// Task service and that we leave all mounts to the mount manager (an empty
// MountCapabilities spares containerd 2.4 a call of -info).
func (ps *params) answer(address string) []byte {
	if !ps.modern {
		return []byte(address)
	}
	capabilities := protofields.String(1, "type.googleapis.com/containerd.types.MountCapabilities")
	extension := protofields.AppendString(nil, 1, capabilities)
	result := protofields.AppendNumber(nil, 1, 3)
	result = protofields.AppendString(result, 2, address)
	result = protofields.AppendString(result, 3, "ttrpc")
	return protofields.AppendString(result, 6, extension)
}

// getenv returns the last value of a variable, as exec does.
func getenv(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if n, value, ok := cut(environ[i], '='); ok && n == name {
			return value
		}
	}
	return ""
}

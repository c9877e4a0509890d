package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

// maxStdin bounds what containerd sends, in bytes.
const maxStdin = 10 << 20

// Environment that containerd sets for the shim. socketDirEnv is what
// containerd/shimtest sets besides the field of BootstrapParams.
const (
	ttrpcAddressEnv = "TTRPC_ADDRESS"
	socketDirEnv    = "SHIM_SOCKET_DIR"
	schedCoreEnv    = "SCHED_CORE"
)

// defaultSocketDir is where the shims of all runtimes listen
// (containerd 2.4: pkg/shim/util_unix.go).
const defaultSocketDir = "/run/containerd/s"

// params is what start needs to know, whatever generation containerd is.
type params struct {
	// modern is true for containerd 2.3 and newer.
	modern       bool
	grpcAddress  string
	ttrpcAddress string
	socketDir    string
	debug        bool
	options      options.Options
}

// readParams tells the generations of containerd apart by what they write to
// stdin of start: 2.3 and newer a BootstrapParams, older ones an Any with the
// runtime options, or nothing. An Any can be read as BootstrapParams too
// (its type becomes the id), therefore id and namespace must be those of the
// command line.
func readParams(p Process, f *Flags) (params, error) {
	ps := params{
		grpcAddress:  f.Address,
		ttrpcAddress: getenv(p.Environ, ttrpcAddressEnv),
		socketDir:    getenv(p.Environ, socketDirEnv),
		debug:        f.Debug,
	}
	data, err := readStdin(p.Stdin)
	if err != nil {
		return params{}, err
	}
	var bp bootapi.BootstrapParams
	if proto.Unmarshal(data, &bp) == nil && bp.GetInstanceID() == f.ID && bp.GetNamespace() == f.Namespace {
		ps.fromBootstrap(&bp)
	} else {
		var any anypb.Any
		if proto.Unmarshal(data, &any) == nil {
			ps.setOptions(&any)
		}
	}
	if ps.socketDir == "" {
		ps.socketDir = defaultSocketDir
	}
	return ps, nil
}

func (ps *params) fromBootstrap(bp *bootapi.BootstrapParams) {
	ps.modern = true
	if a := bp.GetContainerdGrpcAddress(); a != "" {
		ps.grpcAddress = a
	}
	if a := bp.GetContainerdTtrpcAddress(); a != "" {
		ps.ttrpcAddress = a
	}
	if d := bp.GetSocketDir(); d != "" {
		ps.socketDir = d
	}
	if bp.GetLogLevel() <= bootapi.LogLevel_LOG_LEVEL_DEBUG {
		ps.debug = true
	}
	for _, e := range bp.GetExtensions() {
		if v := e.GetValue(); v.MessageIs((*runcoptions.Options)(nil)) || v.MessageIs((*runtimeoptions.Options)(nil)) {
			ps.setOptions(v)
		}
	}
}

// setOptions ignores what is wrong with the options: Create gets them as well,
// and its error reaches the user in better shape.
func (ps *params) setOptions(any *anypb.Any) {
	if o, _, err := options.Parse(any); err == nil {
		ps.options = o
		ps.debug = ps.debug || o.Debug
	}
}

// answer tells containerd where the shim listens. Old versions read a plain
// address, which is understood by all; new ones are told about version 3 of the
// Task service and that we leave all mounts to the mount manager (an empty
// MountCapabilities spares containerd 2.4 a call of -info).
// containerd 1.6 and 1.7 look for the file "address" after a restart.
func (ps *params) answer(w io.Writer, dir bundle.Dir, address string) error {
	var out []byte
	if ps.modern {
		r := &bootapi.BootstrapResult{Version: 3, Address: address, Protocol: "ttrpc"}
		if err := r.AddExtension(&types.MountCapabilities{}); err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		var err error
		if out, err = proto.Marshal(r); err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
	} else {
		if err := dir.WriteAddress(address); err != nil {
			return err
		}
		out = []byte(address)
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

func readStdin(r io.Reader) ([]byte, error) {
	if f, ok := r.(*os.File); r == nil || (ok && f == nil) {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(r, maxStdin+1))
	if err != nil {
		return nil, fmt.Errorf("read stdin: %w", err)
	}
	if len(data) > maxStdin {
		return nil, errors.New("stdin is larger than 10 MiB")
	}
	return data, nil
}

// getenv returns the last value of a variable, as exec does.
func getenv(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return v
		}
	}
	return ""
}

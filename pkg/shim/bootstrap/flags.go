package bootstrap

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

const (
	program      = quick.Program
	actionStart  = quick.ActionStart
	actionDelete = quick.ActionDelete
)

const usage = `containerd-shim-wazero-v1 runs Wasm containers for containerd.

You do not start it yourself: put it on containerd's PATH and ask for the runtime:
  ctr run --rm --runtime io.containerd.wazero.v1 IMAGE NAME
  docker run --rm --runtime io.containerd.wazero.v1 IMAGE

For people:
  containerd-shim-wazero-v1 precompile FILE|IMAGE…       compile modules before they are needed
  containerd-shim-wazero-v1 cache ls|rm|prune|verify     look after the compiled code
  (each has --help)

  -v, -version   print the version
  -h, -help      print this text

For containerd:
  containerd-shim-wazero-v1 -namespace NS -id ID -address SOCKET [FLAGS] start|delete
  containerd-shim-wazero-v1 -info

  -namespace       containerd namespace of the container
  -id              id of the container
  -address         containerd's gRPC socket
  -bundle          the container's bundle, if it is not the working directory
  -debug           log more
  -socket          where the shim listens
  -info            read runtime options from stdin, describe the runtime on stdout
  -publish-binary, -debug-socket
                   accepted and not used
`

// Flags is the command line with which containerd runs shims.
type Flags struct {
	// Namespace and ID name the container; for the daemon, the first one of its
	// group.
	Namespace, ID string
	// Address is containerd's gRPC socket.
	Address string
	// Bundle is only given with delete.
	Bundle string
	// Socket is where the daemon listens.
	Socket string
	Debug  bool

	// Version and Info ask for an answer and nothing else.
	Version, Info bool
	// Action is start, delete, or empty for the daemon.
	Action string
}

// Parse reads a command line. The error is flag.ErrHelp when help was asked for.
func Parse(args []string) (*Flags, error) {
	var f Flags
	var ignored string
	set := flag.NewFlagSet(program, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	set.StringVar(&f.Namespace, "namespace", "", "")
	set.StringVar(&f.ID, "id", "", "")
	set.StringVar(&f.Address, "address", "", "")
	set.StringVar(&f.Bundle, "bundle", "", "")
	set.StringVar(&f.Socket, "socket", "", "")
	set.BoolVar(&f.Debug, "debug", false, "")
	set.BoolVar(&f.Version, "v", false, "")
	set.BoolVar(&f.Version, "version", false, "")
	set.BoolVar(&f.Info, "info", false, "")
	set.StringVar(&ignored, "publish-binary", "", "")
	set.StringVar(&ignored, "debug-socket", "", "")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: see %s -help", err, program)
	}
	f.Action = set.Arg(0)
	return &f, f.check()
}

func (f *Flags) check() error {
	if f.Version || f.Info {
		return nil
	}
	switch f.Action {
	case "", actionStart, actionDelete:
	default:
		return fmt.Errorf("unknown action %q: want %s or %s, see %s -help", f.Action, actionStart, actionDelete, program)
	}
	if f.Namespace == "" || f.ID == "" {
		return fmt.Errorf("-namespace and -id are missing: containerd runs this program, see %s -help", program)
	}
	// They become parts of paths.
	for name, v := range map[string]string{"namespace": f.Namespace, "id": f.ID} {
		if v == "." || v == ".." || strings.ContainsAny(v, "/\x00") {
			return fmt.Errorf("-%s %q is not a valid name", name, v)
		}
	}
	return nil
}

func (f *Flags) daemon() bool { return !f.Version && !f.Info && f.Action == "" }

func (f *Flags) command() quick.Command {
	return quick.Command{
		Namespace: f.Namespace, ID: f.ID, Address: f.Address, Bundle: f.Bundle, Debug: f.Debug, Action: f.Action,
	}
}

package oci

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// Kind is how a process is run.
type Kind int

const (
	// Native processes are the image's own programs; the launcher runs them
	// as the spec says.
	Native Kind = iota + 1
	// Wasm processes are runners that execute a module.
	Wasm
)

func (k Kind) String() string {
	switch k {
	case Native:
		return "native"
	case Wasm:
		return "wasm"
	default:
		return fmt.Sprintf("Kind(%d)", int(k))
	}
}

// MaxModuleSize bounds a module, in bytes. No real module comes near, and wazero
// needs memory for several times the size.
const MaxModuleSize = 1 << 30

// Plan says how to run a process.
type Plan struct {
	Kind Kind
	// Module is open for reading; nil for native.
	Module *os.File
	// Digest is the SHA-256 of the module, if it is known without reading it.
	Digest *[sha256.Size]byte
	// Job is the runner's; nil for native.
	Job *job.Job

	// missing is what a native plan leaves to the launcher to find.
	missing *Missing
}

// Close closes the module.
func (p *Plan) Close() error {
	if p.Module == nil {
		return nil
	}
	return p.Module.Close()
}

// PlanContainer plans the first process of a container. A program that cannot
// run is an errdefs.ErrInvalidArgument.
//
// A program that cannot be found although a hook or a mount may yet bring it is
// planned as native: then the launcher finds it, or says what is wrong.
func PlanContainer(spec *specs.Spec, tree *Tree) (*Plan, error) {
	if err := checkProcess(spec.Process); err != nil {
		return nil, err
	}
	d, err := demandOf(spec.Annotations, spec.Process.Args[0])
	if err != nil {
		return nil, err
	}
	p := planner{process: spec.Process, container: spec, demand: d, mayAppear: hooksMayAddFiles(spec.Hooks), first: true}
	if p.settings, err = settingsOf(spec.Annotations); err != nil {
		return nil, err
	}
	return p.plan(tree)
}

// PlanExec plans a further process of a container, whose spec holds what a
// process inherits: the memory limit and the id mappings. Annotations that demand
// Wasm, and those that ask for listeners, are about the first process only.
func PlanExec(process *specs.Process, container *specs.Spec, tree *Tree) (*Plan, error) {
	if err := checkProcess(process); err != nil {
		return nil, err
	}
	p := planner{process: process, container: container}
	var err error
	if p.settings, err = settingsOf(container.Annotations); err != nil {
		return nil, err
	}
	return p.plan(tree)
}

func checkProcess(p *specs.Process) error {
	switch {
	case p == nil:
		return invalidf("process is missing: the container has nothing to run")
	case len(p.Args) == 0 || p.Args[0] == "":
		return invalidf("process.args is empty: give a command, or set ENTRYPOINT or CMD in the image")
	case !path.IsAbs(p.Cwd):
		return invalidf("process.cwd %q is not an absolute path: set WORKDIR or the working directory to one", p.Cwd)
	}
	return nil
}

// hooksMayAddFiles: those that run before the process is executed.
func hooksMayAddFiles(h *specs.Hooks) bool {
	if h == nil {
		return false
	}
	//lint:ignore SA1019 Docker up to 27 still sets up its network by prestart
	return len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer)+len(h.StartContainer) > 0
}

type planner struct {
	process   *specs.Process
	container *specs.Spec
	demand    demand
	settings  settings
	mayAppear bool
	// first tells that it is the container's first process.
	first bool
}

func (p *planner) plan(tree *Tree) (*Plan, error) {
	f := finder{
		tree: tree,
		who:  UserOf(p.process, p.container),
		cwd:  p.process.Cwd,
		path: searchPath(p.process.Env),
	}
	args := p.process.Args
	prog, err := f.find(args[0])
	if err != nil {
		return p.notFound(args, err)
	}
	var missing *Missing // behind an init
	if isInit(args, prog) {
		module, err := f.behindInit(args[2])
		switch {
		case module != nil:
			prog.file.Close()
			prog, args = module, args[2:]
		case err != nil && isMissing(err):
			missing = &Missing{p.explain(args[2], err), args[2:]}
		}
	}
	if prog.head.wasm() {
		return p.wasm(prog, args)
	}
	defer prog.file.Close()
	plan, err := p.native(prog, args[0])
	if err == nil {
		plan.missing = missing
	}
	return plan, err
}

// notFound explains why there is no program, or leaves it to the launcher.
func (p *planner) notFound(args []string, err error) (*Plan, error) {
	explained := p.explain(args[0], err)
	if !isMissing(err) {
		return nil, explained
	}
	missing := &Missing{explained, args}
	if isAbsent(err) && (p.mayAppear || errors.Is(err, errHidden)) && p.demand == (demand{}) {
		return &Plan{Kind: Native, missing: missing}, nil
	}
	return nil, missing
}

// isMissing: there is nothing of that name that could be a program. A directory
// may be a dummy, as "/" for an image that has nothing else.
func isMissing(err error) bool { return isAbsent(err) || errors.Is(err, unix.EISDIR) }

// explain makes a sentence of the error of a search.
func (p *planner) explain(command string, err error) error {
	const check = "check ENTRYPOINT and CMD of the image, or the command"
	switch {
	case errors.Is(err, errNotInPath):
		return invalidf("process.args[0] %q: %v: %s", command, err, check)
	case errors.Is(err, unix.EISDIR):
		return invalidf("process.args[0] %q: is a directory: name the module in it", command)
	case errors.Is(err, unix.EACCES):
		return invalidf("process.args[0] %q: %v: %s", command, cause(err), "make it readable and executable, or run as another user")
	default:
		return invalidf("process.args[0] %q: %v: %s", command, cause(err), check)
	}
}

// cause drops the "open" and the path that the sentence has already.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// native says that a program is the kernel's, or what is wrong with it.
func (p *planner) native(prog *program, command string) (*Plan, error) {
	switch {
	case prog.export != "":
		return nil, invalidf("process.args[0] %q: no such file or directory, and %q, which is no Wasm module, has no exports: remove the part after #", command, prog.path)
	case p.demand != (demand{}):
		return nil, invalidf("process.args[0] %q: %s, but %s demands Wasm: remove the annotation, or name a module", prog.path, prog.fault(), p.demand)
	case !prog.head.native():
		if prog.denied != nil {
			return nil, denied(prog)
		}
		return nil, invalidf("process.args[0] %q: %s", prog.path, prog.fault())
	}
	if fault := prog.head.foreign(binfmtDir); fault != "" {
		return nil, invalidf("process.args[0] %q: %s", prog.path, fault)
	}
	return &Plan{Kind: Native}, nil
}

func (p *program) fault() string { return p.head.fault() }

func denied(prog *program) error {
	return invalidf("process.args[0] %q: %v: make it readable (chmod a+r), or run as another user", prog.path, prog.denied)
}

// wasm plans a runner, if the module can be one.
func (p *planner) wasm(prog *program, args []string) (_ *Plan, err error) {
	defer func() {
		if err != nil {
			prog.file.Close()
		}
	}()
	if prog.denied != nil {
		return nil, denied(prog)
	}
	if fault := prog.fault(); fault != "" {
		return nil, invalidf("process.args[0] %q: %s", prog.path, fault)
	}
	if prog.stat.Size > MaxModuleSize {
		return nil, invalidf("process.args[0] %q: a module of %d bytes is larger than the limit of %d: check how the image was made",
			prog.path, prog.stat.Size, MaxModuleSize)
	}
	j, err := p.job(prog, args)
	if err != nil {
		return nil, err
	}
	return &Plan{Kind: Wasm, Module: prog.file, Job: j}, nil
}

// isInit recognizes the small init processes that container engines put before
// the command: Docker, nerdctl and Podman with --init, and images by
// themselves. A Wasm guest has no children to reap.
func isInit(args []string, prog *program) bool {
	if len(args) < 3 || args[1] != "--" || prog.head.format != formatELF {
		return false
	}
	switch path.Base(args[0]) {
	case "docker-init", "podman-init", "catatonit", "tini", "tini-static", "dumb-init":
		return true
	default:
		return args[0] == "/dev/init"
	}
}

// behindInit is the module that an init is to start, or nil: a native command
// keeps its init, and what is not there is the init's to say. The error is that of
// the search.
func (f *finder) behindInit(command string) (*program, error) {
	prog, err := f.find(command)
	if err != nil {
		return nil, err
	}
	if !prog.head.wasm() {
		prog.file.Close()
		return nil, nil
	}
	return prog, nil
}

// hasNUL finds the argument or variable that cannot be passed to a program.
func hasNUL(list []string) (int, bool) {
	for i, s := range list {
		if strings.IndexByte(s, 0) >= 0 {
			return i, true
		}
	}
	return 0, false
}

package oci

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// program is the file that a command names.
type program struct {
	*opened
	head head
	// export is the function asked for by "path#export"; "" for the default.
	export string
}

// finder looks for programs on behalf of one process.
type finder struct {
	tree *Tree
	who  User
	cwd  string
	// path is the value of PATH in the process's environment.
	path string
}

// errNotInPath carries the words of Go's exec.ErrNotFound, as runc says it.
var errNotInPath = errors.New("executable file not found in $PATH")

// find looks for a command as it is spelled, and then, for "path#export", for
// what stands before each "#" in turn: a file's name may contain one, an
// export's name as well.
func (f *finder) find(command string) (*program, error) {
	p, err := f.lookUp(command)
	if err == nil || !strings.Contains(command, "#") {
		return p, err
	}
	for i := range len(command) {
		if command[i] != '#' || i == 0 {
			continue
		}
		p, splitErr := f.lookUp(command[:i])
		switch {
		case splitErr == nil && command[i+1:] == "":
			p.file.Close()
			return nil, errNoExport
		case splitErr == nil:
			p.export = command[i+1:]
			return p, nil
		case !isAbsent(splitErr):
			return nil, splitErr
		}
	}
	return nil, err
}

var errNoExport = errors.New(`names no export after "#"`)

// isAbsent: there is no such program, as opposed to one that is broken.
func isAbsent(err error) bool {
	return isNotFound(err) || errors.Is(err, errNotInPath) || errors.Is(err, errHidden)
}

// lookUp finds a program as execvp does: a name with a slash is a path from cwd,
// any other one is searched in PATH. Last comes cwd, and there only for Wasm,
// as runwasi has it.
func (f *finder) lookUp(command string) (*program, error) {
	if strings.Contains(command, "/") {
		return f.open(guestJoin(f.cwd, command))
	}
	if command == "" || command == "." || command == ".." {
		return nil, errNotInPath
	}
	var worst error
	for _, dir := range filepath.SplitList(f.path) {
		p, err := f.open(guestJoin(guestJoin(f.cwd, dir), command))
		if err != nil {
			worst = worse(worst, err)
			continue
		}
		if p.head.wasm() || p.stat.Mode&0o111 != 0 {
			return p, nil
		}
		p.file.Close()
		worst = worse(worst, unix.EACCES)
	}
	if p, err := f.open(guestJoin(f.cwd, command)); err == nil {
		if p.head.wasm() {
			return p, nil
		}
		p.file.Close()
	}
	if worst == nil {
		worst = errNotInPath
	}
	return nil, worst
}

// worse picks the error of a search that tells most: execvp goes on after a
// failure, but remembers that it was refused a file.
func worse(old, err error) error {
	if isNotFound(err) || errors.Is(err, unix.EISDIR) {
		return old
	}
	if old == nil || errors.Is(old, errHidden) {
		return err
	}
	return old
}

func (f *finder) open(guestPath string) (*program, error) {
	o, err := f.tree.open(guestPath, f.who)
	if err != nil {
		return nil, err
	}
	h, err := readHead(o.file)
	if err != nil {
		o.file.Close()
		return nil, err
	}
	return &program{opened: o, head: h}, nil
}

// searchPath is the value of PATH; the last one counts, as in runc.
func searchPath(env []string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], "PATH="); ok {
			return value
		}
	}
	return ""
}

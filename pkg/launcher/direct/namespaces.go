package direct

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// visited are the namespaces that a thread can visit, by their name below
// /proc/<pid>/ns, with their flag.
var visited = map[string]uintptr{
	"net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "pid": unix.CLONE_NEWPID,
}

// flags of the namespaces of a spec that may be joined. That of mounts is always the
// container's own; see also unseen.
var flags = map[specs.LinuxNamespaceType]uintptr{
	specs.NetworkNamespace: unix.CLONE_NEWNET,
	specs.IPCNamespace:     unix.CLONE_NEWIPC,
	specs.UTSNamespace:     unix.CLONE_NEWUTS,
	specs.PIDNamespace:     unix.CLONE_NEWPID,
}

// namespaces are those of a container.
type namespaces struct {
	// created are flags for clone(2).
	created uintptr
	// joined exist already.
	joined map[uintptr]*os.File
}

// namespacesOf opens those that a spec names by path.
func namespacesOf(spec *specs.Spec) (_ *namespaces, retErr error) {
	n := &namespaces{created: unix.CLONE_NEWNS, joined: map[uintptr]*os.File{}}
	defer func() {
		if retErr != nil {
			n.close()
		}
	}()
	for _, ns := range spec.Linux.Namespaces {
		flag, ok := flags[ns.Type]
		switch {
		case !ok:
		case ns.Path == "":
			n.created |= flag
		default:
			f, err := os.Open(ns.Path)
			if err != nil {
				return nil, fmt.Errorf("linux.namespaces: %s: %w", ns.Type, err)
			}
			n.joined[flag] = f
		}
	}
	return n, nil
}

// namespacesOfProcess are those of a process that is there, but for mounts.
func namespacesOfProcess(pid int) (_ *namespaces, retErr error) {
	n := &namespaces{created: unix.CLONE_NEWNS, joined: map[uintptr]*os.File{}}
	defer func() {
		if retErr != nil {
			n.close()
		}
	}()
	for name, flag := range visited {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		if err != nil {
			return nil, fmt.Errorf("the container's namespaces: %w", err)
		}
		n.joined[flag] = f
	}
	return n, nil
}

func (n *namespaces) close() {
	for _, f := range n.joined {
		f.Close()
	}
}

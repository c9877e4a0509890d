package bundle

import (
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle/names"
)

// The newest versions that this code understands, and the ones that it writes.
const (
	stateVersion  = names.StateVersion
	exitVersion   = names.ExitVersion
	socketVersion = names.SocketVersion
)

// State is what the shim knows about a container and cleaning up needs. The shim
// writes it as soon as there is something to clean up, and again when a value
// becomes known.
type State struct {
	Version   int    `json:"version"`
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
	// Pid is the container's init process on the host; 0 before it exists.
	Pid int `json:"pid,omitempty"`
	// Native is true when the container runs the image's own program rather
	// than a module.
	Native bool `json:"native,omitempty"`
	// RuncBinary is the absolute path of the runc that made the container.
	RuncBinary string `json:"runcBinary,omitempty"`
	// SystemdCgroup is true when runc was told to make its cgroup by systemd.
	SystemdCgroup bool `json:"systemdCgroup,omitempty"`
	// CgroupsPath is linux.cgroupsPath of the spec.
	CgroupsPath string `json:"cgroupsPath,omitempty"`
	// Cgroup is the absolute directory of the container's cgroup (the one of
	// the unified hierarchy, or of the pids controller on cgroup v1), so that
	// whatever is in it can be killed without runc.
	Cgroup string `json:"cgroup,omitempty"`
	// MountedRootfs is true when the shim mounted Rootfs itself.
	MountedRootfs bool `json:"mountedRootfs,omitempty"`
}

// WriteState replaces the bundle's state. It sets the version.
func (d Dir) WriteState(s State) error {
	s.Version = stateVersion
	return writeJSON(d.Path(stateFile), s)
}

// ReadState reads the bundle's state. errors.Is(err, fs.ErrNotExist) holds when
// there is none.
func (d Dir) ReadState() (State, error) {
	var s State
	if err := readJSON(d.Path(stateFile), stateVersion, &s); err != nil {
		return State{}, err
	}
	return s, nil
}

// Exit is how the container's init process ended. The shim writes it before it
// publishes TaskExit, so that the end is known even if the shim dies next.
type Exit struct {
	// Pid is the init process's pid on the host.
	Pid int
	// Status is 0 to 255, as a shell reports it.
	Status uint32
	// At is when the process ended.
	At time.Time
}

type exitJSON struct {
	Version int       `json:"version"`
	Pid     int       `json:"pid"`
	Status  uint32    `json:"status"`
	At      time.Time `json:"at"`
}

// WriteExit records the container's exit.
func (d Dir) WriteExit(e Exit) error {
	return writeJSON(d.Path(exitFile), exitJSON{Version: exitVersion, Pid: e.Pid, Status: e.Status, At: e.At.UTC()})
}

// ReadExit reads the recorded exit. errors.Is(err, fs.ErrNotExist) holds when
// there is none.
func (d Dir) ReadExit() (Exit, error) {
	var e exitJSON
	if err := readJSON(d.Path(exitFile), exitVersion, &e); err != nil {
		return Exit{}, err
	}
	return Exit{Pid: e.Pid, Status: e.Status, At: e.At}, nil
}

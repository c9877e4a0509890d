package bundle

// sandboxFile is in the bundle of a pod whose namespaces the shim keeps itself.
const (
	sandboxFile    = "sandbox.json"
	sandboxVersion = 1
	shmDir         = "shm"
)

// Sandbox is what there is to clean up of a pod besides its containers. The shim
// writes it before it makes any of it.
type Sandbox struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	// Cgroup is the path of the holder's cgroup below the roots of the
	// hierarchies; empty if it has none of its own.
	Cgroup string `json:"cgroup,omitempty"`
	// Unit is the systemd scope that the cgroup belongs to; empty if the shim
	// made the cgroup itself.
	Unit string `json:"unit,omitempty"`
	// Members are the pod's containers, some of which may be gone.
	Members []Member `json:"members,omitempty"`
}

// Member is a container of a pod.
type Member struct {
	ID     string `json:"id"`
	Bundle Dir    `json:"bundle"`
	// Cgroup is its path below the roots of the hierarchies; empty if unknown.
	Cgroup string `json:"cgroup,omitempty"`
}

// Shm is where the pod's /dev/shm is mounted, if its containers share one.
func (d Dir) Shm() string { return d.Path(shmDir) }

// WriteSandbox replaces the pod's record. It sets the version.
func (d Dir) WriteSandbox(s Sandbox) error {
	s.Version = sandboxVersion
	return writeJSON(d.Path(sandboxFile), s)
}

// ReadSandbox reads the pod's record. errors.Is(err, fs.ErrNotExist) holds when
// the bundle is not a pod's.
func (d Dir) ReadSandbox() (Sandbox, error) {
	var s Sandbox
	if err := readJSON(d.Path(sandboxFile), sandboxVersion, &s); err != nil {
		return Sandbox{}, err
	}
	return s, nil
}

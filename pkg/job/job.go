// Package job is the protocol between the shim and a runner: what the runner is
// told to run, which file descriptors it inherits, and what it reports back.
//
// Both sides live in the same binary but not in the same process, and the
// runner's side holds hostile code, so the shim trusts nothing that it reads
// here: see Control.
package job

import (
	"errors"
	"fmt"
	"io"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/inherited"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/packed"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/room"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen"
)

// Version of the protocol. A runner comes from the same binary as the shim that starts
// it, or is the ServerProgram beside it: a mismatch means that only one of them has been
// replaced, or a bug.
const Version = 9

// File descriptors that a runner inherits besides stdio. The launcher passes
// them in this order; all but FDBinary are closed or marked close-on-exec by
// the runner before it reads the module. Machine code comes later, see Control.
const (
	// FDBinary is a handle of the shim's own binary that cannot be used for
	// writing. It exists so that /proc/self/fd/3 can be executed inside the
	// container without a file in its rootfs.
	FDBinary = 3
	// FDControl is a connected unix stream socket to the shim: see Control.
	FDControl = 4
	// FDJob is a sealed memfd with the Job.
	FDJob = 5
	// FDModule is the module, open for reading only.
	FDModule = 6
)

// ExecPath is the path by which a container's process executes the runner.
const ExecPath = "/proc/self/fd/3"

// RoleEnv is the environment variable that makes the binary a runner, and
// RoleRunner its value. The rest of the container's environment travels in Job:
// it must not steer the Go runtime of the runner (GODEBUG, GOGC, …).
const (
	RoleEnv    = "WAZERO_SHIM_ROLE"
	RoleRunner = "runner"
	// RoleServer is for a runner that answers requests itself, see CGI.
	RoleServer = "server"
)

// ServerProgram is the file name of the program that has RoleServer. It lies beside the
// shim.
const ServerProgram = "containerd-wazero-cgi"

// OneThread is an environment variable of runners, for the time until the guest
// runs: threads that look for work while there is none take time and memory in
// every container, and each has to be told of every change of privileges.
const OneThread = "GOMAXPROCS=1"

// MaxJobSize bounds the encoded job, in bytes: Linux bounds argv and environ of
// an exec at a quarter of the stack limit, 6 MiB at most.
const MaxJobSize = 16 << 20

// FirstPreopen is the guest's descriptor of the first preopen; those before are
// stdio.
const FirstPreopen = 3

// Preopen is a directory that the guest finds open when it starts.
type Preopen struct {
	// Guest is the absolute path by which the guest names the directory.
	Guest string
	// Host is the absolute path of the directory in the runner's mount
	// namespace, which is the container's.
	Host string
	// ReadOnly lets nothing be changed through it.
	ReadOnly bool
}

// Job is everything that a runner needs to know.
type Job struct {
	Version int
	// Module names the module in messages: its path in the container.
	Module string
	// Export is the function to call: "_start" unless the image asked for
	// another one ("/app.wasm#serve").
	Export string
	// Args is the guest's argv, argv[0] included.
	Args []string
	// Env is the guest's environment, as KEY=VALUE.
	Env []string
	// Preopens in the order of their file descriptors, from 3 on.
	Preopens []Preopen
	// MemoryLimit is the memory limit of the container in bytes; 0 is none.
	MemoryLimit int64
	// CPUs is how many CPUs the container may keep busy, if its share of their time is
	// bounded: the bound, rounded up. 0 is all that there are.
	CPUs int
	// KeepCapabilities are the names of the capabilities that decide about
	// files ("CAP_DAC_OVERRIDE", …) which the guest's user keeps, and the one that
	// Listeners need, which the user has until they are open.
	KeepCapabilities []string
	// Room is what the runner has to make around itself; nil if somebody else has
	// done so.
	Room *room.Room
	// PrivateCode makes the runner copy machine code into memory of its own
	// instead of sharing it with the other runners of the module.
	PrivateCode bool
	// Network is how far the guest may use the container's network.
	Network network.Policy
	// Listeners are sockets in the order of their file descriptors, after Preopens.
	Listeners []listen.Socket
	// CoarseClock lets the guest see no time finer than a millisecond.
	CoarseClock bool
	// Graceful lets the guest serve its open connections when the shim says Terminate
	// or Interrupt.
	Graceful bool
	// CGI makes the runner answer the requests that come to Listeners, which the guest
	// does not get; nil if it does.
	CGI *CGI
}

// CGI is how a runner runs its guest for requests: each has an instance of its own.
type CGI struct {
	// Workers is how many instances run at a time.
	Workers int
	// Patience is for how many milliseconds nothing may happen between a client and its
	// instance.
	Patience int64
}

// pack writes or reads a job. Every field has to be named here; the version stays
// the first.
func (j *Job) pack(c *packed.Coder) {
	c.Int(&j.Version)
	if j.Version != Version {
		return
	}
	c.String(&j.Module)
	c.String(&j.Export)
	c.Strings(&j.Args)
	c.Strings(&j.Env)
	packed.Slice(c, &j.Preopens, func(p *Preopen) { c.String(&p.Guest); c.String(&p.Host); c.Bool(&p.ReadOnly) })
	c.Int64(&j.MemoryLimit)
	c.Int(&j.CPUs)
	c.Strings(&j.KeepCapabilities)
	packed.Pointer(c, &j.Room, func(r *room.Room) { r.Pack(c) })
	c.Bool(&j.PrivateCode)
	name := j.Network.String()
	c.String(&name)
	j.Network, _ = network.Parse(name) // none, if it is not known
	packed.Slice(c, &j.Listeners, func(s *listen.Socket) { s.Pack(c) })
	c.Bool(&j.CoarseClock)
	c.Bool(&j.Graceful)
	packed.Pointer(c, &j.CGI, func(g *CGI) { c.Int(&g.Workers); c.Int64(&g.Patience) })
}

// Decode reads a job and checks its version.
func Decode(r io.Reader) (*Job, error) {
	data, err := inherited.Read(r, MaxJobSize)
	if err != nil {
		return nil, err
	}
	var j Job
	c := packed.Reader(data)
	j.pack(c)
	if j.Version != Version {
		return nil, fmt.Errorf("job has version %d, this runner understands %d", j.Version, Version)
	}
	if err := c.End(); err != nil {
		return nil, fmt.Errorf("decode job: %w", err)
	}
	return &j, nil
}

// Encode is the inverse of Decode. It sets the version.
func (j *Job) Encode() ([]byte, error) {
	whole, c := *j, packed.Writer()
	whole.Version = Version
	whole.pack(c)
	data := c.Bytes()
	if len(data) > MaxJobSize {
		return nil, errors.New("arguments and environment are too large: shorten process.args or process.env")
	}
	return data, nil
}

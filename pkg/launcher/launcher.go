// Package launcher creates the OS container around a Wasm guest or a native
// program: a live process that waits, already in its namespaces and cgroup.
//
// That order is a contract with the callers of the shim: Docker 28 and newer
// binds /proc/<pid>/ns/net between Create and Start, and CRI takes a pod's
// namespaces from the sandbox's pid.
package launcher

import (
	"context"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/stdio"
)

// Request describes a container to create.
type Request struct {
	ID     string
	Bundle bundle.Dir
	Config *oci.Config
	Plan   *oci.Plan
	// Streams are open; the launcher hands their ends to the process. With a
	// terminal it calls Streams.Attach instead.
	Streams *stdio.Streams
	// Terminal is true if the process gets a pseudo terminal.
	Terminal bool
	// Code is for a Wasm plan: where its machine code comes from. With nil the
	// runner compiles by itself.
	Code CodeSource
	// Born is called once the init process exists, in its cgroup, and before Create
	// returns, which may still fail: there may be time, while the process makes its
	// room.
	Born func(*Process)
}

// ExecRequest describes an additional process of a running container.
type ExecRequest struct {
	// ID names the exec; unique in its container, used for file names.
	ID       string
	Process  *specs.Process
	Plan     *oci.Plan
	Streams  *stdio.Streams
	Terminal bool
	Code     CodeSource // as in Request
}

// Launcher creates containers. Implementations must be safe for concurrent use.
type Launcher interface {
	// Create returns when the container's process waits for Start. If it
	// fails, nothing of the container is left.
	Create(ctx context.Context, r Request) (Container, error)
}

// Container is a container that exists. Its methods may be called concurrently.
type Container interface {
	// Init is the container's first process.
	Init() *Process
	// Start lets the init process run. For Wasm it returns when the module is
	// loaded and the guest is about to run. Called once at most.
	Start(ctx context.Context) error
	// Exec starts one more process; it returns when that process runs.
	Exec(ctx context.Context, r ExecRequest) (*Process, error)
	// Pause stops all processes of the container, Resume lets them go on.
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	// Update changes the limits of the running container.
	Update(ctx context.Context, resources *specs.LinuxResources) error
	// KillAll sends SIGKILL to every process in the container's cgroup.
	KillAll(ctx context.Context) error
	// Delete removes the container; whatever still runs in it is killed. It
	// MUST be idempotent.
	Delete(ctx context.Context) error
}

package task

import (
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

// restrict takes from a guest what the node's administrator does not allow, whatever
// its container's annotations ask for. What it cannot do without is an error.
func restrict(j *job.Job, o options.Options) error {
	j.PrivateCode = j.PrivateCode || o.PrivateCode
	n, _ := network.Parse(o.Network)
	j.Network = j.Network.And(n)
	j.CoarseClock = j.CoarseClock || o.CoarseClock
	if len(j.Listeners) > 0 && j.Network == network.None {
		return fmt.Errorf("the container asks for the listener %q, but the runtime's option network is %q: %w", j.Listeners[0], network.None, errdefs.ErrInvalidArgument)
	}
	return nil
}

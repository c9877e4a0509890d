package task

import (
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

// restrict takes from a guest what the node's administrator does not allow, whatever
// its container's annotations ask for.
func restrict(j *job.Job, o options.Options) {
	j.PrivateCode = j.PrivateCode || o.PrivateCode
	n, _ := network.Parse(o.Network)
	j.Network = j.Network.And(n)
	j.CoarseClock = j.CoarseClock || o.CoarseClock
}

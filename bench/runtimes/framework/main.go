// Command framework is a containerd shim that does nothing, built as Go shims are: on
// containerd's own framework, by which containerd-shim-runc-v2 is made. What a
// container takes with it is what that framework and the contract of a shim take.
//
// It makes no process, no mount and no cgroup, but publishes the events of a task.
// Start writes a line to the container's stdout itself. A task has ended as soon as
// it has been started, unless its id begins with "idle": then it ends when it is
// killed. It is good for measuring and for nothing else.
package main

import (
	"context"

	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

func main() {
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			publisher, err := ic.GetByID(plugins.EventPlugin, "publisher")
			if err != nil {
				return nil, err
			}
			sd, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			return newService(ic.Context, publisher.(shim.Publisher), sd.(shutdown.Service)), nil
		},
	})
	shim.RunShim(context.Background(), manager{"io.containerd.framework.v1"})
}

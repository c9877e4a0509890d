package runner

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/privilege"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

// prepareListeners opens the sockets that the container asks for, when the guest may
// run: the engine may give the container its network as late as that (Docker from 28
// on does). Then the shim is the parent, too.
func (g *guest) prepareListeners(control *orders, open gateway.Open) error {
	if len(g.job.Listeners) == 0 {
		return nil
	}
	if err := control.waitGo(); err != nil {
		return err
	}
	if err := g.openListeners(open); err != nil {
		return err
	}
	if slices.Contains(g.job.KeepCapabilities, privilege.BindService) {
		if err := privilege.Drop(withoutBindService(g.job.KeepCapabilities)); err != nil {
			return err
		}
	}
	return control.lock(g)
}

func (g *guest) openListeners(open gateway.Open) error {
	if g.program != nil {
		return g.openServer(open)
	}
	for _, l := range g.job.Listeners {
		if err := g.open(l); err != nil {
			return err
		}
	}
	return nil
}

// open hands a socket over to the guest.
func (g *guest) open(l listen.Socket) error {
	fd, err := l.Open()
	if err != nil {
		return err
	}
	if err := g.system.Add(preview1.Preopen{FD: fd, Patient: l.Mode == listen.Patient}); err != nil {
		unix.Close(fd)
		return err
	}
	return nil
}

func withoutBindService(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == privilege.BindService })
}

package oci

import (
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen"
)

// listeners are the sockets that the container asks for, by the annotation or else by
// the variable: an image may have the variable, and whoever runs it the annotation.
// Its first process has them. Others inherit both.
func (p *planner) listeners() ([]listen.Socket, error) {
	if !p.first {
		return nil, nil
	}
	all, name := p.settings.listeners, "annotation "+annotationPrefix+"listen"
	if _, value := listen.Without(p.process.Env); !p.settings.listens {
		var err error
		name = "process.env " + listen.Variable
		if all, err = listen.Parse(value); err != nil {
			return nil, invalidf("%s=%q: %v", name, value, err)
		}
	}
	if len(all) > 0 && p.settings.network == network.None {
		return nil, invalidf("%s asks for listeners, but the network is %q: remove one of the two", name, network.None)
	}
	return all, nil
}

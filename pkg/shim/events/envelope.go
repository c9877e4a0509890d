package events

import "github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"

// Envelope is an event as containerd is told of it.
type Envelope struct {
	Timestamp *wire.Timestamp
	Namespace string
	Topic     string
	Event     *wire.Any
}

// Fields implements wire.Message.
func (m *Envelope) Fields(f *wire.Fields) {
	wire.One(f, 1, &m.Timestamp)
	f.String(2, &m.Namespace)
	f.String(3, &m.Topic)
	wire.One(f, 4, &m.Event)
}

// ForwardRequest is the request of containerd's Events service.
type ForwardRequest struct {
	Envelope *Envelope
}

// Fields implements wire.Message.
func (m *ForwardRequest) Fields(f *wire.Fields) {
	wire.One(f, 1, &m.Envelope)
}

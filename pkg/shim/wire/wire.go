// Package wire encodes and decodes the messages of the shim's services and events.
//
// A message is a struct that lists its fields once, for both directions. The
// generated messages of containerd's API do the same by reflection, over tables that
// each process has to build anew, and there is a shim per pod.
//
// The result is that of generated messages of proto3: fields that are not known, or
// that come as another type, are left out; text must be UTF-8; of a field that comes
// twice, messages are merged and of others the last one counts.
package wire

import (
	"errors"
	"fmt"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

// Message is implemented by a pointer to a struct.
type Message interface {
	// Fields names each field of the message to f, with its number and where its
	// value is.
	Fields(f *Fields)
}

// Number is a field's number in the definition of its message.
type Number = protofields.Number

var errText = errors.New("text is not UTF-8")

// Encode returns the encoded message. Text that is not UTF-8 is an error.
func Encode(m Message) ([]byte, error) {
	f := Fields{encoding: true}
	m.Fields(&f)
	return f.out, f.err
}

// Decode reads an encoded message into m, on top of what is there. It keeps no part
// of data.
func Decode(data []byte, m Message) error {
	var f Fields
	for len(data) > 0 {
		var err error
		if f.field, data, err = protofields.Next(data); err != nil {
			return err
		}
		if m.Fields(&f); f.err != nil {
			return f.err
		}
	}
	return nil
}

// Fields is what encodes and decodes: it writes every field that it is told of, or
// reads the one field that is there.
type Fields struct {
	encoding bool
	out      []byte
	field    protofields.Field
	err      error
}

// is tells whether field n is being decoded, as the kind that it should be.
func (f *Fields) is(n Number, kind protofields.Kind) bool {
	return !f.encoding && f.field.Number == n && f.field.Kind == kind
}

func (f *Fields) fail(n Number, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("field %d: %w", n, err)
	}
}

package wire

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"
)

// Proto returns the message as one of the protobuf library, which ttrpc asks for.
// It can be marshaled and unmarshaled, and nothing else: whoever wants to look
// inside by reflection panics. Unmarshaling does not clear the message before.
func Proto(m Message) proto.Message { return &adapter{of: m} }

// adapter has the library call Encode and Decode.
type adapter struct {
	protoreflect.Message // nil
	of                   Message
}

var methods = protoiface.Methods{
	Marshal: func(in protoiface.MarshalInput) (protoiface.MarshalOutput, error) {
		data, err := Encode(in.Message.(*adapter).of)
		return protoiface.MarshalOutput{Buf: append(in.Buf, data...)}, err
	},
	Unmarshal: func(in protoiface.UnmarshalInput) (out protoiface.UnmarshalOutput, err error) {
		return out, Decode(in.Buf, in.Message.(*adapter).of)
	},
	CheckInitialized: func(protoiface.CheckInitializedInput) (out protoiface.CheckInitializedOutput, err error) {
		return out, nil // proto3 has no required fields
	},
}

// ProtoReflect implements proto.Message.
func (a *adapter) ProtoReflect() protoreflect.Message { return a }

// ProtoMethods implements protoreflect.Message.
func (a *adapter) ProtoMethods() *protoiface.Methods { return &methods }

// Interface implements protoreflect.Message.
func (a *adapter) Interface() protoreflect.ProtoMessage { return a }

// IsValid implements protoreflect.Message.
func (a *adapter) IsValid() bool { return true }

// Reset is what the library calls instead of reflection.
func (a *adapter) Reset() {}

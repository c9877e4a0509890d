// Package protofields reads protobuf messages of which a few fields matter, by the
// fields' numbers. Whole APIs, containerd's and CRI's, are not linked for these few:
// what is linked is initialised in every process, used or not.
package protofields

import "google.golang.org/protobuf/encoding/protowire"

// Number is a field's number in the definition of its message.
type Number = protowire.Number

// Each calls f for each field of an encoded message, with the bytes of a string or
// message, or the number of a varint. Fields of other types come without a value.
// It ends at the first error.
func Each(message []byte, f func(n Number, value []byte, number uint64) error) error {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		var value []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(message)
		default:
			size = protowire.ConsumeFieldValue(n, kind, message)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		if err := f(n, value, number); err != nil {
			return err
		}
	}
	return nil
}

// String encodes a message whose only field is a string.
func String(n Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), value)
}

// Package protofields reads and writes protobuf messages of which a few fields
// matter, by the fields' numbers. Whole APIs, containerd's and CRI's, are not linked
// for these few: what is linked is initialised in every process, used or not. For
// the same reason it does without the protobuf library and fmt.
//
// The encoding: https://protobuf.dev/programming-guides/encoding
package protofields

import "errors"

// Number is a field's number in the definition of its message.
type Number int32

// Types of fields on the wire.
const (
	typeVarint     = 0
	typeFixed64    = 1
	typeBytes      = 2
	typeStartGroup = 3
	typeEndGroup   = 4
	typeFixed32    = 5
)

// Largest numbers of a field. Like the library, Each is less strict about fields of
// the groups that it leaves out.
const (
	maxNumber        = 1<<29 - 1
	maxNumberInGroup = 1<<31 - 1
)

var errDamaged = errors.New("damaged protobuf message")

// Each calls f for each field of an encoded message that is a string or message, with
// its bytes, or a varint, with its number and nil. Fields of other types are left out.
// It ends at the first error.
func Each(message []byte, f func(n Number, value []byte, number uint64) error) error {
	for len(message) > 0 {
		field, rest, err := Next(message)
		if err != nil {
			return err
		}
		message = rest
		if field.Kind != Bytes && field.Kind != Varint {
			continue
		}
		if err := f(field.Number, field.Bytes, field.Varint); err != nil {
			return err
		}
	}
	return nil
}

func tag(b []byte) (n Number, kind uint64, rest []byte, ok bool) {
	v, rest, ok := varint(b)
	if !ok || v>>3 < 1 || v>>3 > maxNumberInGroup {
		return 0, 0, nil, false
	}
	return Number(v >> 3), v & 7, rest, true
}

func varint(b []byte) (v uint64, rest []byte, ok bool) {
	for i, c := range b {
		if i == 9 && c > 1 {
			break // more than 64 bits
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, b[i+1:], true
		}
	}
	return 0, nil, false
}

func bytes(b []byte) (value, rest []byte, ok bool) {
	size, b, ok := varint(b)
	if !ok || size > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:size:size], b[size:], true
}

// skip leaves out a field whose tag has been read. Groups may hold groups.
func skip(b []byte, n Number, kind uint64) (rest []byte, ok bool) {
	var open []Number
	for {
		ok := true
		switch kind {
		case typeVarint:
			_, b, ok = varint(b)
		case typeFixed64:
			b, ok = after(b, 8)
		case typeFixed32:
			b, ok = after(b, 4)
		case typeBytes:
			_, b, ok = bytes(b)
		case typeStartGroup:
			open = append(open, n)
		case typeEndGroup:
			if len(open) == 0 || open[len(open)-1] != n {
				return nil, false
			}
			open = open[:len(open)-1]
		default:
			return nil, false
		}
		if !ok {
			return nil, false
		}
		if len(open) == 0 {
			return b, true
		}
		if n, kind, b, ok = tag(b); !ok {
			return nil, false
		}
	}
}

func after(b []byte, size int) ([]byte, bool) {
	if len(b) < size {
		return nil, false
	}
	return b[size:], true
}

// String encodes a message whose only field is a string.
func String(n Number, value string) []byte { return AppendString(nil, n, value) }

// AppendString appends a field that is a string or an encoded message, also an
// empty one.
func AppendString[T string | []byte](message []byte, n Number, value T) []byte {
	message = appendVarint(message, uint64(n)<<3|typeBytes)
	message = appendVarint(message, uint64(len(value)))
	return append(message, value...)
}

// AppendNumber appends a varint; nothing for 0, which is what a reader takes for a
// field that is not there.
func AppendNumber(message []byte, n Number, value uint64) []byte {
	if value == 0 {
		return message
	}
	return appendVarint(appendVarint(message, uint64(n)<<3|typeVarint), value)
}

func appendVarint(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

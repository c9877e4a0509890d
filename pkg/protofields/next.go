package protofields

// Kind is a type of fields on the wire.
type Kind uint64

// Kinds whose values are read. All others are Kinds, too, but are only left out.
const (
	Varint Kind = typeVarint
	Bytes  Kind = typeBytes // strings and messages as well
)

// Field is one field of an encoded message.
type Field struct {
	Number Number
	Kind   Kind
	// Bytes is the value of a field of that kind: a part of the message that was
	// read, never nil.
	Bytes []byte
	// Varint is the value of a field of that kind.
	Varint uint64
}

// Next reads the first field of an encoded message, which is not empty, and returns
// what follows it.
func Next(message []byte) (f Field, rest []byte, err error) {
	n, kind, rest, ok := tag(message)
	if !ok || n > maxNumber {
		return f, nil, errDamaged
	}
	f.Number, f.Kind = n, Kind(kind)
	switch kind {
	case typeBytes:
		f.Bytes, rest, ok = bytes(rest)
	case typeVarint:
		f.Varint, rest, ok = varint(rest)
	default:
		rest, ok = skip(rest, n, kind)
	}
	if !ok {
		return f, nil, errDamaged
	}
	return f, rest, nil
}

package wire

import (
	"bytes"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

// String is a field of the type string.
func (f *Fields) String(n Number, value *string) {
	switch {
	case f.encoding && *value != "":
		f.appendText(n, *value)
	case f.is(n, protofields.Bytes):
		*value = f.text(n)
	}
}

// Strings is a repeated string.
func (f *Fields) Strings(n Number, values *[]string) {
	if f.encoding {
		for _, value := range *values {
			f.appendText(n, value)
		}
	} else if f.is(n, protofields.Bytes) {
		*values = append(*values, f.text(n))
	}
}

func (f *Fields) appendText(n Number, value string) {
	if !utf8.ValidString(value) {
		f.fail(n, errText)
	}
	f.out = protofields.AppendString(f.out, n, value)
}

// text is the value of the string that is being decoded.
func (f *Fields) text(n Number) string {
	if !utf8.Valid(f.field.Bytes) {
		f.fail(n, errText)
	}
	return string(f.field.Bytes)
}

// Bytes is a field of the type bytes.
func (f *Fields) Bytes(n Number, value *[]byte) {
	switch {
	case f.encoding && len(*value) > 0:
		f.out = protofields.AppendString(f.out, n, *value)
	case f.is(n, protofields.Bytes):
		*value = bytes.Clone(f.field.Bytes)
	}
}

// Bool is a field of the type bool.
func (f *Fields) Bool(n Number, value *bool) {
	switch {
	case f.encoding && *value:
		f.out = protofields.AppendNumber(f.out, n, 1)
	case f.is(n, protofields.Varint):
		*value = f.field.Varint != 0
	}
}

// Uint32 is a field of the type uint32.
func (f *Fields) Uint32(n Number, value *uint32) { number(f, n, value) }

// Int32 is a field of the type int32, or an enum.
func (f *Fields) Int32(n Number, value *int32) { number(f, n, value) }

// Int64 is a field of the type int64.
func (f *Fields) Int64(n Number, value *int64) { number(f, n, value) }

// number leaves out the bits of a number that do not fit, like generated messages.
func number[T int32 | int64 | uint32](f *Fields, n Number, value *T) {
	if f.encoding {
		f.out = protofields.AppendNumber(f.out, n, uint64(*value))
	} else if f.is(n, protofields.Varint) {
		*value = T(f.field.Varint)
	}
}

// Pairs is a field of the type map<string, string>.
func (f *Fields) Pairs(n Number, values *map[string]string) {
	if f.encoding {
		for _, key := range slices.Sorted(maps.Keys(*values)) {
			f.appendMessage(n, &pair{key, (*values)[key]})
		}
		return
	}
	if !f.is(n, protofields.Bytes) {
		return
	}
	var p pair
	if err := Decode(f.field.Bytes, &p); err != nil {
		f.fail(n, err)
		return
	}
	if *values == nil {
		*values = make(map[string]string)
	}
	(*values)[p.key] = p.value
}

// pair is an entry of a map.
type pair struct{ key, value string }

// Fields implements Message.
func (p *pair) Fields(f *Fields) {
	f.String(1, &p.key)
	f.String(2, &p.value)
}

// One is a field that is a message; nil if it is not there.
func One[T any, M interface {
	*T
	Message
}](f *Fields, n Number, value *M) {
	switch {
	case f.encoding && *value != nil:
		f.appendMessage(n, *value)
	case f.is(n, protofields.Bytes):
		if *value == nil {
			*value = new(T)
		}
		f.decodeMessage(n, *value)
	}
}

// Many is a repeated message.
func Many[T any, M interface {
	*T
	Message
}](f *Fields, n Number, values *[]M) {
	if f.encoding {
		for _, value := range *values {
			f.appendMessage(n, value)
		}
	} else if f.is(n, protofields.Bytes) {
		value := M(new(T))
		f.decodeMessage(n, value)
		*values = append(*values, value)
	}
}

func (f *Fields) appendMessage(n Number, m Message) {
	data, err := Encode(m)
	if err != nil {
		f.fail(n, err)
	}
	f.out = protofields.AppendString(f.out, n, data)
}

func (f *Fields) decodeMessage(n Number, m Message) {
	if err := Decode(f.field.Bytes, m); err != nil {
		f.fail(n, err)
	}
}

package protofields_test

import (
	"bytes"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

type field struct {
	n      protowire.Number
	value  []byte
	number uint64
}

// reference is what the protobuf library finds, of the types that Each has.
func reference(message []byte) (fields []field, ok bool) {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 || n > protowire.MaxValidNumber {
			return fields, false
		}
		message = message[size:]
		f := field{n: n}
		switch kind {
		case protowire.BytesType:
			f.value, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			f.number, size = protowire.ConsumeVarint(message)
		default:
			size = protowire.ConsumeFieldValue(n, kind, message)
		}
		if size < 0 {
			return fields, false
		}
		message = message[size:]
		if kind == protowire.BytesType || kind == protowire.VarintType {
			fields = append(fields, f)
		}
	}
	return fields, true
}

func compare(t *testing.T, message []byte) {
	t.Helper()
	var got []field
	err := protofields.Each(message, func(n protofields.Number, value []byte, number uint64) error {
		got = append(got, field{protowire.Number(n), value, number})
		return nil
	})
	want, ok := reference(message)
	if (err == nil) != ok || len(got) != len(want) {
		t.Fatalf("%x: got %v, %v; want %v, %v", message, got, err, want, ok)
	}
	for i, w := range want {
		g := got[i]
		if g.n != w.n || g.number != w.number || !bytes.Equal(g.value, w.value) || (g.value == nil) != (w.value == nil) {
			t.Errorf("%x: field %d is %+v, want %+v", message, i, g, w)
		}
	}
}

var messages = [][]byte{
	nil, {0x08}, {0x08, 0x01}, {0x0a, 0x00}, {0x0a, 0x02, 'a'}, {0x0a, 0x02, 'a', 'b'},
	{0x00, 0x01}, {0x07}, {0x0e, 0x00}, {0x0c},
	{0x09, 1, 2, 3, 4, 5, 6, 7, 8}, {0x09, 1, 2}, {0x0d, 1, 2, 3, 4, 0x10, 0x05}, {0x0d, 1},
	{0x0b, 0x08, 0x01, 0x0c, 0x10, 0x02}, {0x0b, 0x13, 0x14, 0x0c}, {0x0b, 0x13, 0x0c, 0x14}, {0x0b, 0x08, 0x01}, {0x0b, 0x0a, 0x01, 'x', 0x0c},
	{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
	{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02},
	{0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00},
	{0xf8, 0xff, 0xff, 0xff, 0x0f, 0x00}, {0x80, 0x80, 0x80, 0x80, 0x10, 0x00},
	{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
}

func TestFieldsAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	for _, m := range messages {
		compare(t, m)
	}
}

func FuzzEach(f *testing.F) {
	for _, m := range messages {
		f.Add(m)
	}
	f.Fuzz(compare)
}

func TestEncodingIsThatOfTheLibrary(t *testing.T) {
	t.Parallel()
	for _, n := range []protowire.Number{1, 15, 16, 1<<29 - 1} {
		for _, v := range []uint64{1, 127, 128, 1 << 31, math.MaxUint64} {
			want := protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
			if got := protofields.AppendNumber(nil, protofields.Number(n), v); !bytes.Equal(got, want) {
				t.Errorf("field %d, %d: got %x, want %x", n, v, got, want)
			}
		}
		for _, v := range []string{"", "x", string(make([]byte, 300))} {
			want := protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), v)
			if got := protofields.String(protofields.Number(n), v); !bytes.Equal(got, want) {
				t.Errorf("field %d, %q: got %x, want %x", n, v, got, want)
			}
		}
	}
	if got := protofields.AppendNumber(nil, 1, 0); len(got) > 0 {
		t.Errorf("0 is encoded as %x", got)
	}
}

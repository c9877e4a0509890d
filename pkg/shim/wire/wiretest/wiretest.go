// Package wiretest compares messages of package wire with generated ones. It is for
// tests.
package wiretest

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// Pair is a message of ours, and the generated one that it must be equal to. Both
// are empty.
type Pair struct {
	Ours   wire.Message
	Theirs proto.Message
}

// Of makes a Pair.
func Of(ours wire.Message, theirs proto.Message) Pair { return Pair{ours, theirs} }

// Test compares each pair with all fields set, without any, and with each field in
// all types that the wire has.
func Test(t *testing.T, pairs []Pair) {
	for _, p := range pairs {
		for _, data := range p.samples(t) {
			p.Compare(t, data)
		}
	}
}

// Fuzz compares the pairs after decoding any data.
func Fuzz(f *testing.F, pairs []Pair) {
	for i, p := range pairs {
		for _, data := range p.samples(f)[:4] {
			f.Add(uint8(i), data)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) { pairs[int(which)%len(pairs)].Compare(t, data) })
}

// Compare decodes data into both messages: both must take it or refuse it, have the
// same values in fields of the same name, and be the same when encoded again.
func (p Pair) Compare(t *testing.T, data []byte) {
	t.Helper()
	name := p.Theirs.ProtoReflect().Descriptor().Name()
	theirs := p.Theirs.ProtoReflect().New().Interface()
	want := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, theirs)
	ours := reflect.New(reflect.TypeOf(p.Ours).Elem()).Interface().(wire.Message)
	got := proto.Unmarshal(data, wire.Proto(ours))
	if (got == nil) != (want == nil) {
		t.Fatalf("%s from %x: got %v, want %v", name, data, got, want)
	}
	if want != nil {
		return
	}
	same(t, string(name), reflect.ValueOf(ours), reflect.ValueOf(theirs))
	again, err := proto.Marshal(wire.Proto(ours))
	if err != nil {
		t.Fatalf("%s from %x: encode: %v", name, data, err)
	}
	decoded := p.Theirs.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(again, decoded); err != nil || !proto.Equal(decoded, theirs) {
		t.Errorf("%s from %x: encoded as %x, which is %v, %v, want %v", name, data, again, decoded, err, theirs)
	}
}

// same compares by the names of fields, regardless of case.
func same(t *testing.T, at string, ours, theirs reflect.Value) {
	t.Helper()
	switch theirs.Kind() {
	case reflect.Pointer:
		if ours.IsNil() || theirs.IsNil() {
			if ours.IsNil() != theirs.IsNil() {
				t.Errorf("%s: got %v, want %v", at, ours, theirs)
			}
			return
		}
		same(t, at, ours.Elem(), theirs.Elem())
	case reflect.Struct:
		for i := range theirs.NumField() {
			field := theirs.Type().Field(i)
			if !field.IsExported() {
				continue
			}
			value := ours.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, field.Name) })
			if !value.IsValid() {
				t.Errorf("%s has no field %s", at, field.Name)
				continue
			}
			same(t, at+"."+field.Name, value, theirs.Field(i))
		}
	case reflect.Slice:
		if ours.Len() != theirs.Len() {
			t.Errorf("%s: got %v, want %v", at, ours, theirs)
			return
		}
		for i := range theirs.Len() {
			same(t, at, ours.Index(i), theirs.Index(i))
		}
	case reflect.Map:
		if ours.Len() != theirs.Len() || theirs.Len() > 0 && !reflect.DeepEqual(ours.Interface(), theirs.Interface()) {
			t.Errorf("%s: got %v, want %v", at, ours, theirs)
		}
	default:
		if !ours.Equal(theirs.Convert(ours.Type())) {
			t.Errorf("%s: got %v, want %v", at, ours, theirs)
		}
	}
}

// samples are encoded messages, good and bad ones.
func (p Pair) samples(t testing.TB) [][]byte {
	t.Helper()
	full := p.Theirs.ProtoReflect().New()
	fill(full, 1)
	data, err := proto.Marshal(full.Interface())
	if err != nil {
		t.Fatal(err)
	}
	samples := [][]byte{nil, data, append(data, data...)}
	if len(data) > 0 {
		samples = append(samples, data[:len(data)-1])
	}
	for n := byte(1); n < 12; n++ {
		for _, field := range []string{
			"\x00\x00", "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x01\x01\x02\x03\x04\x05\x06\x07\x08",
			"\x02\x00", "\x02\x02\x0a\x00", "\x02\x01\xff", "\x02\x03\x0a\x01\xff", "\x02\x04\x0a\x02\x0a\x00", "\x02\x05\x12\x01a\x12\x00", "\x03\x08\x01\x04", "\x05\x01\x02\x03\x04",
		} {
			tag := n<<3 | field[0]
			body := []byte(field[1:])
			if field[0] == 3 {
				body[len(body)-1] = n<<3 | 4
			}
			samples = append(samples, append([]byte{tag}, body...), append(data[:len(data):len(data)], append([]byte{tag}, body...)...))
		}
	}
	return samples
}

// fill sets all fields, to values that differ.
func fill(m protoreflect.Message, seed int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		n := seed*100 + int(fd.Number())
		switch {
		case fd.IsMap():
			m.Mutable(fd).Map().Set(protoreflect.ValueOfString("key").MapKey(), protoreflect.ValueOfString("value"))
			m.Mutable(fd).Map().Set(protoreflect.ValueOfString("").MapKey(), protoreflect.ValueOfString(""))
		case fd.IsList() && fd.Message() != nil:
			for j := range 2 {
				fill(m.Mutable(fd).List().AppendMutable().Message(), n+j)
			}
			m.Mutable(fd).List().AppendMutable()
		case fd.IsList():
			m.Mutable(fd).List().Append(scalar(fd.Kind(), n))
			m.Mutable(fd).List().Append(scalar(fd.Kind(), n+1))
		case fd.Message() != nil:
			fill(m.Mutable(fd).Message(), n)
		default:
			m.Set(fd, scalar(fd.Kind(), n))
		}
	}
}

func scalar(kind protoreflect.Kind, n int) protoreflect.Value {
	switch kind {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("é" + strconv.Itoa(n))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0xff, byte(n)})
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n) << 20)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(-int32(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(-int64(n) << 40)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n))
	}
	panic("no message of the shim has a field of the type " + kind.String())
}

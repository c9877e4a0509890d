package protofields_test

import (
	"bytes"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

func TestAppendNumbersAndDoubles(t *testing.T) {
	t.Parallel()
	before := []byte("before")
	numbers := []uint64{0, 1, 300, math.MaxUint64}
	var packed []byte
	for _, n := range numbers {
		packed = protowire.AppendVarint(packed, n)
	}
	want := protowire.AppendBytes(protowire.AppendTag(bytes.Clone(before), 1000, protowire.BytesType), packed)
	if got := protofields.AppendNumbers(before, 1000, numbers); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	for _, v := range []float64{33.03, -1, math.Inf(1)} {
		want := protowire.AppendFixed64(protowire.AppendTag(bytes.Clone(before), 3, protowire.Fixed64Type), math.Float64bits(v))
		if got := protofields.AppendDouble(before, 3, v); !bytes.Equal(got, want) {
			t.Errorf("%v: %x, want %x", v, got, want)
		}
	}
	if got := protofields.AppendDouble(protofields.AppendNumbers(before, 1, nil), 2, 0); !bytes.Equal(got, before) {
		t.Errorf("nothing is %x", got)
	}
}

package wasmbin

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// section returns a section with its size.
func section(id byte, body string) string {
	return string(id) + string(rune(len(body))) + body
}

const magic = "\x00asm\x01\x00\x00\x00"

// example imports a function (i32) -> (), a table, a memory and a global, has a
// function () -> (i32) of its own and exports it as "run".
var example = magic +
	section(1, "\x02\x60\x01\x7f\x00\x60\x00\x01\x7f") +
	section(2, "\x03\x03env\x03log\x00\x00\x01h\x01t\x01\x70\x01\x01\x02\x01h\x01g\x03\x7f\x00") +
	section(3, "\x01\x01") +
	section(5, "\x01\x01\x02\x10") +
	section(7, "\x02\x03run\x00\x01\x06memory\x02\x00") +
	section(10, "\x01\x04\x00\x41\x00\x0b") +
	section(0, "\x0ftarget_features\x02+\x04simd-\x02gc")

func TestOutlineShowsWhatAModuleNeedsAndOffers(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	var imports []string
	for _, i := range m.Imports {
		imports = append(imports, i.Module+"."+i.Name+" "+i.Kind.String())
	}
	if want := []string{"env.log function", "h.t table", "h.g global"}; !slices.Equal(imports, want) {
		t.Errorf("imports %q", imports)
	}
	if got := m.Imports[0].Type.String(); got != "(i32) -> ()" {
		t.Errorf("env.log is %s", got)
	}
	if len(m.Exports) != 2 || m.Exports[0].Name != "run" || m.Exports[0].Type.String() != "() -> (i32)" || m.Exports[1].Kind != KindMemory {
		t.Errorf("exports %+v", m.Exports)
	}
	if m.MemoryPages != 2 || m.CodeSize != 6 || !slices.Equal(m.TargetFeatures, []string{"simd"}) {
		t.Errorf("outline %+v", m)
	}
}

func TestEveryTruncationIsNoticed(t *testing.T) {
	t.Parallel()
	whole := map[int]bool{} // sizes at which a section ends
	for i, pos := 0, len(magic); ; i++ {
		whole[pos] = true
		if pos == len(example) {
			break
		}
		pos += 2 + int(example[pos+1])
	}
	for size := range len(example) {
		if _, err := Parse([]byte(example[:size])); err == nil && !whole[size] {
			t.Errorf("%d of %d bytes are accepted", size, len(example))
		}
	}
}

func TestUnsupportedProposalsAreNamed(t *testing.T) {
	t.Parallel()
	for body, feature := range map[string]string{
		section(13, "\x01\x00\x00"):                                    "exceptions",
		section(2, "\x01\x01m\x01e\x04\x00\x00"):                       "exceptions",
		section(5, "\x01\x04\x01"):                                     "memory64",
		section(5, "\x01\x08\x01\x00"):                                 "custom-page-sizes",
		section(5, "\x02\x00\x01\x00\x01"):                             "multi-memory",
		section(1, "\x01\x5f\x00"):                                     "GC",
		section(1, "\x01\x4e\x01\x5f\x00"):                             "GC",
		section(2, "\x02\x01m\x01a\x02\x00\x01\x01m\x01b\x02\x04\x01"): "memory64",
	} {
		_, err := Parse([]byte(magic + body))
		var unsupported *UnsupportedError
		if !errors.As(err, &unsupported) || !strings.Contains(unsupported.Feature, feature) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestNumbersOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		section(1, "\xff\xff\xff\xff\x0f"),     // more types than bytes
		section(1, "\xff\xff\xff\xff\x1f"),     // more than 32 bits
		section(2, "\x01\xff\xff\xff\xff\x0f"), // a name of 4 GiB
		section(2, "\x01\x01m\x01f\x00\x00"),   // a type that does not exist
		section(2, "\x01\x01m\x01f\x09\x00"),   // an unknown kind
		section(7, "\x01\x01f\x00\x00"),        // a function that does not exist
		section(1, "\x01\x42"),                 // an unknown form of type
		section(5, "\x01\x10\x01"),             // unknown limits
		"\x00\x80\x80\x80\x80\x80\x80\x80",     // an endless number
	} {
		if m, err := Parse([]byte(magic + body)); err == nil {
			t.Errorf("%q is accepted: %+v", body, m)
		}
	}
}

// FuzzParse looks for crashes, and for more output than input.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(magic))
	f.Add([]byte(magic + "\x01\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without text")
			}
			return
		}
		if len(m.Imports)+len(m.Exports)+len(m.TargetFeatures) > len(data) {
			t.Errorf("%d bytes yield %d imports, %d exports", len(data), len(m.Imports), len(m.Exports))
		}
		for _, i := range m.Imports {
			_ = i.Kind.String() + i.Type.String()
		}
	})
}

package entry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// sample is a header and the payload that it announces.
func sample(prefix, code, suffix int) (Header, []byte) {
	h := Header{
		Module: sha256.Sum256([]byte("module")), ModuleSize: 1234, Engine: "engine of a test",
		EngineKey:  sha256.Sum256([]byte("key")),
		PrefixSize: int64(prefix), CodeSize: int64(code), SuffixSize: int64(suffix),
	}
	payload := make([]byte, prefix+code+suffix)
	for i := range payload {
		payload[i] = byte(i*7 + i>>8 + 1)
	}
	return h, payload
}

func emptyFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "entry"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func mustCreate(t testing.TB, h Header, payload []byte) *os.File {
	t.Helper()
	f := emptyFile(t)
	if err := Create(f, h, bytes.NewReader(payload)); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEntriesHoldWhatTheyWereGiven(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][3]int{{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {100, 5000, 9}, {4096 - 256, 4096, 1}, {4096, 4095, 70000}, {300000, 1 << 20, 5}} {
		h, payload := sample(sizes[0], sizes[1], sizes[2])
		f := mustCreate(t, h, payload)
		got, err := Verify(f, h.Module, h.Engine)
		if err != nil {
			t.Fatalf("sizes %v: %v", sizes, err)
		}
		if info, err := f.Stat(); err != nil || info.Size() != got.Size() {
			t.Errorf("sizes %v: size %v instead of %d, %v", sizes, info.Size(), got.Size(), err)
		}
		if got.CodeOffset%4096 != 0 {
			t.Errorf("sizes %v: code at %d", sizes, got.CodeOffset)
		}
		read := append(section(t, f, got.PrefixOffset(), got.PrefixSize), section(t, f, got.CodeOffset, got.CodeSize)...)
		read = append(read, section(t, f, got.SuffixOffset(), got.SuffixSize)...)
		if !bytes.Equal(read, payload) {
			t.Errorf("sizes %v: other content", sizes)
		}
		h.CodeOffset, h.Sum = got.CodeOffset, got.Sum
		if *got != h {
			t.Errorf("header %+v instead of %+v", got, h)
		}
	}
}

func section(t *testing.T, f *os.File, offset, size int64) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f, offset, size))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCreateWantsExactlyWhatWasAnnounced(t *testing.T) {
	t.Parallel()
	h, payload := sample(10, 20, 30)
	for name, n := range map[string]int{"nothing": 0, "less than the prefix": 9, "one too few": 59} {
		if err := Create(emptyFile(t), h, bytes.NewReader(payload[:n])); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if err := Create(emptyFile(t), h, bytes.NewReader(append(payload, 0))); err == nil {
		t.Error("one byte too many was accepted")
	}
	broken := errors.New("broken")
	if err := Create(emptyFile(t), h, io.MultiReader(bytes.NewReader(payload), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("a failing source: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestCreateLeavesNoEntryBehindAnError(t *testing.T) {
	t.Parallel()
	h, payload := sample(10, 20, 30)
	f := emptyFile(t)
	if err := Create(f, h, bytes.NewReader(append(payload, 0))); err == nil {
		t.Fatal("one byte too many was accepted")
	}
	if _, err := ReadHeader(f); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

func TestCreateRefusesWhatVerifyWould(t *testing.T) {
	t.Parallel()
	good, payload := sample(1, 2, 3)
	for name, change := range map[string]func(*Header){
		"no engine":           func(h *Header) { h.Engine = "" },
		"a long engine":       func(h *Header) { h.Engine = Engine(bytes.Repeat([]byte("x"), 65)) },
		"a control character": func(h *Header) { h.Engine = "a\x00b" },
		"a negative prefix":   func(h *Header) { h.PrefixSize = -1 },
		"a negative module":   func(h *Header) { h.ModuleSize = -1 },
		"a huge suffix":       func(h *Header) { h.SuffixSize = math.MaxInt64 },
		"a huge sum":          func(h *Header) { h.CodeSize, h.SuffixSize = MaxSize/2, MaxSize/2 },
	} {
		h := good
		change(&h)
		if err := Create(emptyFile(t), h, bytes.NewReader(payload)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	used := mustCreate(t, good, payload)
	if err := Create(used, good, bytes.NewReader(payload)); err == nil {
		t.Error("a file with content was accepted")
	}
}

func TestLongestEngineFits(t *testing.T) {
	t.Parallel()
	h, payload := sample(1, 2, 3)
	h.Engine = Engine(bytes.Repeat([]byte("e"), engineSize))
	if _, err := Verify(mustCreate(t, h, payload), h.Module, h.Engine); err != nil {
		t.Error(err)
	}
}

// Every single bit of an entry matters, those of the padding included.
func TestEveryFlippedBitIsFound(t *testing.T) {
	t.Parallel()
	h, payload := sample(130, 300, 21)
	f := mustCreate(t, h, payload)
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	for i, good := range data {
		for bit := range 8 {
			write(t, f, int64(i), []byte{good ^ 1<<bit})
			if _, err := Verify(f, h.Module, h.Engine); err == nil {
				t.Errorf("bit %d of byte %d", bit, i)
			}
		}
		write(t, f, int64(i), []byte{good})
	}
	if _, err := Verify(f, h.Module, h.Engine); err != nil {
		t.Errorf("the test itself did damage: %v", err)
	}
}

func write(t testing.TB, f *os.File, offset int64, b []byte) {
	t.Helper()
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

func TestEveryOtherLengthIsFound(t *testing.T) {
	t.Parallel()
	h, payload := sample(13, 300, 21)
	f := mustCreate(t, h, payload)
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{size + 4096, size + 1} {
		truncate(t, f, n)
		if _, err := Verify(f, h.Module, h.Engine); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes instead of %d: %v", n, size, err)
		}
	}
	for n := size - 1; n >= 0; n-- {
		truncate(t, f, n)
		if _, err := Verify(f, h.Module, h.Engine); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes instead of %d: %v", n, size, err)
		}
	}
}

func truncate(t *testing.T, f *os.File, n int64) {
	t.Helper()
	if err := f.Truncate(n); err != nil {
		t.Fatal(err)
	}
}

func TestIntactEntriesOfOthersAreTold(t *testing.T) {
	t.Parallel()
	h, payload := sample(1, 2, 3)
	f := mustCreate(t, h, payload)
	if _, err := Verify(f, Digest{}, h.Engine); !errors.Is(err, ErrOtherModule) {
		t.Errorf("another module: %v", err)
	}
	if _, err := Verify(f, h.Module, "another"); !errors.Is(err, ErrOtherEngine) {
		t.Errorf("another engine: %v", err)
	}
	if _, err := VerifyAny(f); err != nil {
		t.Error(err)
	}
	tamper(t, f, 8, []byte{Format + 1})
	if _, err := VerifyAny(f); !errors.Is(err, ErrOtherFormat) {
		t.Errorf("another format: %v", err)
	}
}

// tamper changes the header and makes its sum right again.
func tamper(t testing.TB, f *os.File, offset int64, b []byte) {
	t.Helper()
	write(t, f, offset, b)
	var header [summed]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(header[:])
	write(t, f, summed, sum[:])
}

// Sums can be made right by whoever writes an entry.
func TestRightSumsDoNotExcuseTheRest(t *testing.T) {
	t.Parallel()
	number := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	for name, change := range map[string]struct {
		offset int64
		bytes  []byte
	}{
		"reserved":              {12, []byte{1}},
		"reserved at the end":   {120, []byte{1}},
		"after the engine":      {190, []byte{1}},
		"no engine":             {128, []byte{0}},
		"engine with a newline": {129, []byte("\n")},
		"negative prefix":       {80, number(math.MaxUint64)},
		"huge code":             {88, number(math.MaxInt64)},
		"sum that overflows":    {80, bytes.Repeat(number(math.MaxInt64/2), 3)},
		"code in the header":    {104, number(0)},
		"code not in a page":    {104, number(4097)},
		"code a page later":     {104, number(2 << 16)},
		"negative module":       {112, number(1 << 63)},
		"larger suffix":         {96, number(4)},
	} {
		h, payload := sample(1, 2, 3)
		f := mustCreate(t, h, payload)
		tamper(t, f, change.offset, change.bytes)
		if _, err := VerifyAny(f); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPaddingMustBeEmpty(t *testing.T) {
	t.Parallel()
	h, payload := sample(1, 2, 3)
	f := mustCreate(t, h, payload)
	write(t, f, headerSize+2, []byte{1})
	rest, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(rest[headerSize:])
	tamper(t, f, 192, sum[:])
	if _, err := VerifyAny(f); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyRegularFilesAreEntries(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, f := range []*os.File{r, dir} {
		if _, err := VerifyAny(f); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", f.Name(), err)
		}
	}
}

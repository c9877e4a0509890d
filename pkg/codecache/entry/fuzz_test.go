package entry

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// fixSums makes the sums of an entry right, as far as there is one, so that the
// fuzzer gets past them.
func fixSums(data []byte) {
	if len(data) < headerSize {
		return
	}
	content := sha256.Sum256(data[headerSize:])
	copy(data[192:224], content[:])
	header := sha256.Sum256(data[:summed])
	copy(data[summed:headerSize], header[:])
}

func addSeeds(f *testing.F) {
	for _, sizes := range [][3]int{{0, 0, 0}, {3, 20, 4}, {4000, 1, 0}} {
		h, payload := sample(sizes[0], sizes[1], sizes[2])
		entry := mustCreate(f, h, payload)
		data, err := os.ReadFile(entry.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, true)
		f.Add(data[:len(data)-1], true)
		f.Add(data[:headerSize], false)
	}
	f.Add([]byte(magic), false)
}

// What VerifyAny accepts, Create writes for the same header and payload.
func FuzzVerifyAcceptsOnlyWhatCreateWrites(f *testing.F) {
	addSeeds(f)
	again, candidate := memfd(f), memfd(f)
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		if fix {
			fixSums(data)
		}
		fill(t, candidate, data)
		h, err := VerifyAny(candidate)
		if err != nil {
			if h != nil {
				t.Fatal("a header beside an error")
			}
			return
		}
		payload := io.MultiReader(
			io.NewSectionReader(candidate, h.PrefixOffset(), h.PrefixSize),
			io.NewSectionReader(candidate, h.CodeOffset, h.CodeSize),
			io.NewSectionReader(candidate, h.SuffixOffset(), h.SuffixSize))
		fill(t, again, nil)
		if err := Create(again, *h, payload); err != nil {
			t.Fatal(err)
		}
		written, err := io.ReadAll(io.NewSectionReader(again, 0, 1<<30))
		if err != nil || !bytes.Equal(written, data) {
			t.Fatalf("Create wrote something else (%v)", err)
		}
		if _, err := Verify(again, h.Module, h.Engine); err != nil {
			t.Fatal(err)
		}
	})
}

// memfd is an empty file without a disk to slow the fuzzer down.
func memfd(f *testing.F) *os.File {
	f.Helper()
	fd, err := unix.MemfdCreate("entry", unix.MFD_CLOEXEC)
	if err != nil {
		f.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "entry")
	f.Cleanup(func() { file.Close() })
	return file
}

func fill(t *testing.T, f *os.File, data []byte) {
	t.Helper()
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	write(t, f, 0, data)
}

func FuzzReadHeader(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		if fix && len(data) >= headerSize {
			header := sha256.Sum256(data[:summed])
			copy(data[summed:headerSize], header[:])
		}
		h, err := ReadHeader(bytes.NewReader(data))
		if err != nil {
			return
		}
		if h.Size() < headerSize || h.Size() > MaxSize || h.CodeOffset < h.PrefixOffset()+h.PrefixSize || h.SuffixOffset() < h.CodeOffset {
			t.Fatalf("implausible sizes: %+v", h)
		}
		if !bytes.Equal(h.encode()[:], data[:headerSize]) {
			t.Fatalf("%+v encodes to something else", h)
		}
	})
}

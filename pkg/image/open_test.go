package image

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestLayersAreUnpackedWithinTheirLimit(t *testing.T) {
	t.Parallel()
	m := memory{}
	plain := bytes.Repeat([]byte("x"), 1<<20)
	var zipped bytes.Buffer
	g := gzip.NewWriter(&zipped)
	_, err := g.Write(plain)
	must(t, err)
	must(t, g.Close())
	z, err := zstd.NewWriter(nil)
	must(t, err)
	for name, data := range map[string][]byte{"plain": plain, "gzip": zipped.Bytes(), "zstd": z.EncodeAll(plain, nil)} {
		for limit, fits := range map[int64]bool{1 << 20: true, 1<<20 - 1: false, 10: false} {
			r, packed, err := OpenLayer(t.Context(), m, Layer{Descriptor: m.put("type", data)}, limit)
			must(t, err)
			got, err := io.ReadAll(r)
			r.Close()
			if packed != (name != "plain") {
				t.Errorf("%s: packed %t", name, packed)
			}
			if fits && (err != nil || !bytes.Equal(got, plain)) || !fits && (err == nil || int64(len(got)) > limit || !strings.Contains(err.Error(), "larger than")) {
				t.Errorf("%s, at most %d: %d bytes, %v", name, limit, len(got), err)
			}
		}
	}
	if _, _, err := OpenLayer(t.Context(), m, Layer{Descriptor: m.put("x+encrypted", plain)}, 1); err == nil {
		t.Error("an encrypted layer was read")
	}
}

func TestCommandOfAConfiguration(t *testing.T) {
	t.Parallel()
	m := memory{}
	for config, want := range map[string]string{
		`{"config":{"Entrypoint":["/a","b"],"Cmd":["c"]}}`: "/a",
		`{"config":{"Cmd":["c"]}}`:                         "c",
		`{"config":{}}`:                                    "",
		`{}`:                                               "",
		`no JSON`:                                          "",
		`{"config":{"Entrypoint":"text"}}`:                 "",
	} {
		if got, err := Command(t.Context(), m, m.put("type", []byte(config))); err != nil || got != want {
			t.Errorf("%s: %q, %v", config, got, err)
		}
	}
	if _, err := Command(t.Context(), m, m.put("type", make([]byte, maxManifest+1))); err == nil {
		t.Error("a huge configuration was read")
	}
}

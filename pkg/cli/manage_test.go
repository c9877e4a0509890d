package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

func TestTableTellsWhatMattersOfEachEntry(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	digest := func(s string) entry.Digest {
		d, err := entry.ParseDigest(strings.Repeat(s, 32))
		must(t, err)
		return d
	}
	entries := []codecache.Entry{
		{Key: digest("01"), Module: digest("aa"), ModuleSize: 25 << 20, Engine: "wazero v1", Size: 100, Used: now.Add(-3 * time.Minute), InUse: true, Current: true},
		{Key: digest("02"), Module: digest("bb"), ModuleSize: 1, Engine: "wazero v0", Size: 3 << 30, Used: now.Add(time.Hour)},
		{Key: digest("03"), Size: 7, Used: now.Add(-48 * time.Hour), Problem: "it is truncated"},
		{Problem: "it is a directory"},
	}
	var out bytes.Buffer
	must(t, printEntries(&out, entries, now))
	want := `MODULE        WASM    CODE   LAST USED      IN USE  STATE
aaaaaaaaaaaa  25 MiB  100 B  3 minutes ago  yes     ok
bbbbbbbbbbbb  1 B     3 GiB  in the future  no      old: for wazero v0
030303030303  -       7 B    2 days ago     no      it is truncated
000000000000  -       0 B    -              no      it is a directory
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

func TestEntriesAreRemovedByTheBeginOfTheirDigest(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.write("a", module("a"))
	n.write("b", module("b"))
	all := results(t, n.succeed("precompile", "--json", "a", "b"))
	n.fail(1, []string{`"nonsense"`}, "cache", "rm", "nonsense", "--force")
	short := all[0].Digest[:12]
	if out := n.succeed("cache", "rm", short); !strings.HasPrefix(out, short+" removed") {
		t.Errorf("got %q", out)
	}
	list := n.list()
	if len(list) != 1 || list[0].Module != all[1].Digest {
		t.Errorf("left: %+v", list)
	}
	// One that is not there does not keep another from being removed.
	o := n.fail(1, []string{short}, "cache", "rm", "--json", "sha256:"+short, list[0].Key)
	var removed []entryJSON
	must(t, json.Unmarshal([]byte(o.stdout), &removed))
	if len(removed) != 1 || removed[0].Key != list[0].Key || len(n.list()) != 0 {
		t.Errorf("removed %+v", removed)
	}
}

func TestDamageIsFoundAndTold(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.write("a", module("a"))
	n.write("b", module("b"))
	all := results(t, n.succeed("precompile", "--json", "a", "b"))
	if out := n.succeed("cache", "verify"); out != "2 intact, 0 not\n" {
		t.Errorf("got %q", out)
	}
	damage := func() {
		for _, e := range n.list() {
			if e.Module == all[0].Digest {
				path := filepath.Join(n.file("cache/entries"), e.Key)
				data, err := os.ReadFile(path)
				must(t, err)
				data[len(data)-1] ^= 1
				must(t, os.WriteFile(path, data, 0o600))
			}
		}
	}
	damage()
	o := n.run("cache", "verify")
	if o.status != 1 || o.stderr != "" || !strings.HasPrefix(o.stdout, all[0].Digest[:12]+" removed: ") || !strings.HasSuffix(o.stdout, "\n1 intact, 1 not\n") {
		t.Errorf("%+v", o)
	}
	if r := results(t, n.succeed("precompile", "--json", "a")); r[0].Outcome != "compiled" {
		t.Errorf("%+v", r)
	}
	damage()
	o = n.run("cache", "verify", "--json")
	var verified struct {
		Intact  int
		Removed []entryJSON
	}
	must(t, json.Unmarshal([]byte(o.stdout), &verified))
	if o.status != 1 || verified.Intact != 1 || len(verified.Removed) != 1 || verified.Removed[0].Problem == "" {
		t.Errorf("%+v", o)
	}
	n.succeed("precompile", "a")
	damage()
	if r := results(t, n.succeed("precompile", "--json", "a")); r[0].Outcome != "repaired" {
		t.Errorf("%+v", r)
	}
}

func TestVerifyTellsWhatItLeavesToOtherVersions(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.write("a", module("a"))
	n.write("b", module("b"))
	n.succeed("precompile", "a", "b")
	path := filepath.Join(n.file("cache/entries"), n.list()[0].Key)
	data, err := os.ReadFile(path)
	must(t, err)
	data[8]++ // the number of the format; the header's last 32 bytes are its sum
	sum := sha256.Sum256(data[:224])
	copy(data[224:], sum[:])
	must(t, os.WriteFile(path, data, 0o600))
	if out := n.succeed("cache", "verify"); out != "1 intact, 0 not\nnot verified because their format is another version's: 1\n" {
		t.Errorf("got %q", out)
	}
	var verified struct{ Intact, Unknown int }
	must(t, json.Unmarshal([]byte(n.succeed("cache", "verify", "--json")), &verified))
	if verified.Intact != 1 || verified.Unknown != 1 || len(n.list()) != 2 {
		t.Errorf("%+v", verified)
	}
}

func TestPruningKeepsToASize(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.write("a", module("a"))
	n.write("b", module("b"))
	n.succeed("precompile", "a", "b")
	must(t, os.WriteFile(n.file("cache/entries/tmp-left"), []byte("x"), 0o600))
	if out := n.succeed("cache", "prune"); !strings.HasPrefix(out, "removed 0 B of compiled code; leftovers of other processes: 1\n") {
		t.Errorf("got %q", out)
	}
	var pruned struct {
		Removed []entryJSON
		Size    int64
	}
	size := n.list()[0].Size
	must(t, json.Unmarshal([]byte(n.succeed("cache", "prune", "--json", "--max-size", itoa(size))), &pruned))
	if len(pruned.Removed) != 1 || pruned.Size != size || len(n.list()) != 1 {
		t.Errorf("%+v", pruned)
	}
	n.succeed("cache", "prune", "--max-size", "0")
	if list := n.list(); len(list) != 0 {
		t.Errorf("left %+v", list)
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

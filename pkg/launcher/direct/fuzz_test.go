package direct

import (
	"bytes"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

// FuzzOutside: if every field of a JSON text is known, then the configuration that
// Go has read from it holds nothing else, however the text was written. No text
// makes the checks panic.
func FuzzOutside(f *testing.F) {
	f.Add([]byte(least))
	for _, l := range leaves(f) {
		f.Add(with(f, names(l.path), l.value()))
	}
	for _, s := range []string{`"Linux": null`, `"hooks": {"prestart": [null]}`, `"mounts[]": [{}]`, `"linux": {"sysctl": null}`, `"process": {"rlimits": [{}]}`} {
		f.Add([]byte(strings.Replace(least, "{", "{"+s+",", 1)))
	}
	file := filepath.Join(f.TempDir(), "config.json")
	f.Fuzz(func(t *testing.T, data []byte) { requireNothingIgnored(t, file, data) })
}

// FuzzOneField is FuzzOutside for texts with anything in the place of any field.
func FuzzOneField(f *testing.F) {
	all := leaves(f)
	seen := map[string]bool{}
	for i, l := range all {
		path := names(l.path)
		for depth := range path {
			place := strings.Join(path[:depth+1], ".")
			if seen[place] || depth == len(path)-1 {
				continue
			}
			seen[place] = true
			for _, value := range []string{"{}", "[null]", `{"x": null}`} {
				f.Add(uint16(i), uint8(depth), []byte(value))
			}
		}
	}
	file := filepath.Join(f.TempDir(), "config.json")
	f.Fuzz(func(t *testing.T, i uint16, depth uint8, value []byte) {
		path := names(all[int(i)%len(all)].path)
		if json.Valid(value) {
			requireNothingIgnored(t, file, with(t, path[:1+int(depth)%len(path)], json.RawMessage(value)))
		}
	})
}

// requireNothingIgnored asserts that a text with a field of which nothing becomes,
// but that Go has read, is not accepted. The file is for the text.
func requireNothingIgnored(t *testing.T, file string, data []byte) {
	check(t, os.WriteFile(file, data, 0o600))
	config, err := oci.ReadSpec(file)
	if err != nil {
		return
	}
	accepted := outside(config, options.Options{}, &job.Job{Network: network.Full}) == ""
	if unknownField(data) != "" {
		if accepted {
			t.Fatal("a field is not known, but accepted")
		}
		return
	}
	whole := encode(t, config.Spec)
	var generic any
	check(t, json.Unmarshal(whole, &generic))
	var again specs.Spec
	check(t, json.Unmarshal(encode(t, known(generic, "")), &again))
	if left := encode(t, &again); !bytes.Equal(left, whole) {
		t.Fatalf("known is\n%s\nof\n%s", left, whole)
	}
	if accepted {
		_ = roomOf(config)
	}
}

// known is what is left of a configuration without all that is not in fields.
func known(v any, at string) any {
	switch v := v.(type) {
	case map[string]any:
		left := map[string]any{}
		for key, value := range v {
			name := child(at, "*")
			if !fields[name] {
				name = child(at, key)
			}
			if fields[name] || parents()[name] {
				left[key] = known(value, name)
			}
		}
		return left
	case []any:
		left := make([]any, 0, len(v))
		for _, value := range v {
			left = append(left, known(value, at+"[]"))
		}
		return left
	default:
		return v
	}
}

// FuzzMounts: a mount that is understood gets what its options say, and never less
// strict attributes.
func FuzzMounts(f *testing.F) {
	for _, m := range []specs.Mount{
		bind("/data", "rbind", "rprivate", "ro"), bind("/data", "bind", "rw", "rslave"), bind("/data", "rbind", "rro", "rw", "nosymfollow"),
		tmpfs("/tmp", "nosuid", "size=1m", "mode=1777"), tmpfs("/x", "ro", "rw", "noatime", "relatime"), bind("/x", "ro", "rw", "slave", "private"),
	} {
		f.Add(m.Destination, m.Type, m.Source, strings.Join(m.Options, ","))
	}
	f.Fuzz(func(t *testing.T, destination, kind, source, options string) {
		m := specs.Mount{Destination: destination, Type: kind, Source: source, Options: strings.Split(options, ",")}
		spec := leastSpec(t)
		spec.Mounts = append(spec.Mounts, m)
		if leftOut(&m) || checkMounts(spec) != "" {
			return
		}
		r := roomMount(&m, func(p string) string { return path.Join("/bundle", p) })
		if path.Clean(r.Target) != r.Target || !strings.HasPrefix(r.Target, "/") || r.Target == "/" || strings.HasPrefix(r.Target+"/", "/proc/") || strings.HasPrefix(r.Target+"/", "/sys/") {
			t.Errorf("the target is %q", r.Target)
		}
		// As the kernel does it: those for the whole tree first, and Clear before Set.
		got := r.SetAll&^r.Clear | r.Set
		if want := wantedAttributes(m.Options); got&^unix.MOUNT_ATTR__ATIME != want {
			t.Errorf("attributes are %#x, want %#x", got, want)
		}
		if atime, given := wantedATime(m.Options); got&unix.MOUNT_ATTR__ATIME != atime || given != (r.Clear&unix.MOUNT_ATTR__ATIME == unix.MOUNT_ATTR__ATIME) {
			t.Errorf("%+v for the access time %#x", r, atime)
		}
		if r.Clear&^(unix.MOUNT_ATTR__ATIME|unix.MOUNT_ATTR_RDONLY) != 0 {
			t.Errorf("takes away %#x", r.Clear)
		}
		if isBind(&m) {
			if !path.IsAbs(r.Source) || r.Recursive != slices.Contains(m.Options, "rbind") || len(r.Options) > 0 {
				t.Errorf("%+v for a bind", r)
			}
			if propagation := last(m.Options, "slave", "rslave", "private", "rprivate"); r.Slave != strings.HasSuffix(propagation, "slave") {
				t.Errorf("slave: %v", r.Slave)
			}
			return
		}
		if r.Source != "" || r.SetAll != 0 || r.Slave || r.Recursive {
			t.Errorf("%+v for a tmpfs", r)
		}
		for _, o := range r.Options {
			if key, value, _ := strings.Cut(o, "="); value == "" || !slices.Contains(tmpfsOptions, key) {
				t.Errorf("option %q", o)
			}
		}
	})
}

// last is the option that counts of those that exclude each other, "" for none.
func last(options []string, excluding ...string) string {
	for _, o := range slices.Backward(options) {
		if slices.Contains(excluding, o) {
			return o
		}
	}
	return ""
}

// wantedAttributes are those that options ask for, without the access time and those
// that every mount of the room has in addition.
func wantedAttributes(options []string) uint64 {
	var wanted uint64
	if last(options, "ro", "rw") == "ro" || slices.Contains(options, "rro") {
		wanted |= unix.MOUNT_ATTR_RDONLY
	}
	for attribute, names := range map[uint64][]string{
		unix.MOUNT_ATTR_NOSUID: {"nosuid", "rnosuid"}, unix.MOUNT_ATTR_NODEV: {"nodev", "rnodev"},
		unix.MOUNT_ATTR_NOEXEC: {"noexec", "rnoexec"}, unix.MOUNT_ATTR_NODIRATIME: {"nodiratime"}, unix.MOUNT_ATTR_NOSYMFOLLOW: {"nosymfollow"},
	} {
		if last(options, names...) != "" {
			wanted |= attribute
		}
	}
	return wanted
}

func wantedATime(options []string) (attribute uint64, given bool) {
	switch last(options, "relatime", "noatime", "strictatime") {
	case "noatime":
		return unix.MOUNT_ATTR_NOATIME, true
	case "strictatime":
		return unix.MOUNT_ATTR_STRICTATIME, true
	case "relatime":
		return unix.MOUNT_ATTR_RELATIME, true
	default:
		return 0, false
	}
}

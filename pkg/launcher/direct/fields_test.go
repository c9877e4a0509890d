package direct

import (
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
)

func TestLeastConfigurationIsDirect(t *testing.T) {
	t.Parallel()
	requireReason(t, reason(t, []byte(least)), "")
}

// TestFieldsThatAreNotListedGoToRunc adds each of them to what is direct.
func TestFieldsThatAreNotListedGoToRunc(t *testing.T) {
	t.Parallel()
	n := 0
	for _, l := range leaves(t) {
		if fields[l.path] {
			continue
		}
		n++
		want := strings.ReplaceAll(l.path, "*", "name")
		if got := reason(t, with(t, names(l.path), l.value())); !strings.HasPrefix(got, want) {
			t.Errorf("%s: the reason for runc is %q", l.path, got)
		}
	}
	if n < 60 {
		t.Errorf("there were only %d fields", n)
	}
}

// TestListedFieldsAreKnown: what becomes of them may depend on their values.
func TestListedFieldsAreKnown(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, l := range leaves(t) {
		if !fields[l.path] {
			continue
		}
		seen++
		if got := unknownField(with(t, names(l.path), l.value())); got != "" {
			t.Errorf("%s: %q is not known", l.path, got)
		}
	}
	if seen != len(fields) {
		t.Errorf("of %d fields in the list the specification has %d", len(fields), seen)
	}
}

// TestNamesAreExact: Go's JSON decoder takes "Process" for "process".
func TestNamesAreExact(t *testing.T) {
	t.Parallel()
	for _, l := range leaves(t) {
		for i, name := range names(l.path) {
			if name == "[]" || name == "*" {
				continue
			}
			path := names(l.path)
			path[i] = strings.ToUpper(name[:1]) + name[1:]
			if got := unknownField(with(t, path, l.value())); !strings.Contains(got, path[i]) {
				t.Errorf("%s: the reason for runc is %q", path, got)
			}
		}
	}
}

// edit replaces a part of the least configuration.
func edit(t *testing.T, old, new string) []byte {
	t.Helper()
	if strings.Count(least, old) != 1 {
		t.Fatalf("%q is not there once", old)
	}
	return []byte(strings.Replace(least, old, new, 1))
}

func TestUnusualJSON(t *testing.T) {
	t.Parallel()
	const root, linux, mounts = `"root":`, `"linux": {`, `"mounts": [`
	for _, tc := range []struct {
		name, old, new, want string
	}{
		{"unknown name", root, `"later": 1, "root":`, "later"},
		{"unknown object", linux, linux + `"later": {"on": false},`, "linux.later"},
		{"unknown without a value", root, `"later": null, "root":`, ""},
		{"twice, first unknown", linux, linux + `"intelRdt": {"closID": "x"}, "intelRdt": null,`, "linux.intelRdt.closID"},
		{"twice, last unknown", linux, linux + `"intelRdt": null, "intelRdt": {"closID": "x"},`, "linux.intelRdt.closID"},
		{"object twice", root, `"linux": {"mountLabel": "x"}, "root":`, "linux.mountLabel"},
		{"wrong case takes away", root, `"Linux": {}, "root":`, "Linux"},
		{"name that looks like a path", root, `"linux.cgroupsPath": "/x", "root":`, `"linux.cgroupsPath"`},
		{"name that looks like an array", root, `"mounts[]": {"type": "x"}, "root":`, `"mounts[]"`},
		{"name that looks like a pattern", linux, linux + `"*": 1,`, `linux."*"`},
		// runc makes a closID of its own for this, and moves the device for the next.
		{"empty object", linux, linux + `"intelRdt": {},`, "linux.intelRdt"},
		{"empty object in a map", linux, linux + `"netDevices": {"eth0": {}},`, "linux.netDevices.eth0"},
		{"null in a map", linux, linux + `"netDevices": {"eth0": null},`, "linux.netDevices"},
		{"empty element", linux, linux + `"devices": [{}],`, "linux.devices[]"},
		{"null element", linux, linux + `"devices": [null],`, "linux.devices[]"},
		{"null element of what is known", mounts, mounts + `null,`, "mounts[]"},
		{"empty array", linux, linux + `"devices": [],`, ""},
		{"empty object of what is known", linux, linux + `"sysctl": {}, "resources": {"cpu": {}},`, ""},
		{"zero is a value", linux, linux + `"resources": {"network": {"classID": 0}},`, "linux.resources.network.classID"},
		{"false is none", linux, linux + `"later": false,`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			requireReason(t, reason(t, edit(t, tc.old, tc.new)), tc.want)
		})
	}
}

func TestOptionsThatOnlyRuncHas(t *testing.T) {
	t.Parallel()
	config, err := read(t, []byte(least))
	check(t, err)
	for want, o := range map[string]options.Options{
		"the runtime option allow_native_exec": {AllowNativeExec: true},
		"the runtime option NoPivotRoot":       {NoPivotRoot: true},
		"linux.cgroupsPath":                    {SystemdCgroup: true},
	} {
		requireReason(t, outside(config, o, &job.Job{Network: network.Full}), want)
	}
}

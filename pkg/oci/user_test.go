package oci

import (
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestUserIsMappedToTheHost(t *testing.T) {
	t.Parallel()
	container := &specs.Spec{Linux: &specs.Linux{
		UIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}, {ContainerID: 1000, HostID: 5, Size: 1}},
		GIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 1000}},
	}}
	process := &specs.Process{User: specs.User{UID: 1000, GID: 7, AdditionalGids: []uint32{9, 5000}}}
	u := UserOf(process, container)
	if u.UID != 5 || u.GID != 200007 || !reflect.DeepEqual(u.Groups, []uint32{200009}) || u.Unknown {
		t.Errorf("%+v", u)
	}
	process.User.UID = 2000
	if u := UserOf(process, container); !u.Unknown {
		t.Errorf("a user without mapping is known: %+v", u)
	}
}

func TestUserOfAJoinedNamespaceIsUnknown(t *testing.T) {
	t.Parallel()
	container := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace, Path: "/proc/1/ns/user"}}}}
	if u := UserOf(&specs.Process{}, container); !u.Unknown {
		t.Errorf("%+v", u)
	}
}

func TestOnlyEffectiveCapabilitiesBypassModes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		uid                uint32
		effective, ambient []string
		want               bool
	}{
		{0, []string{"CAP_DAC_OVERRIDE"}, nil, true},
		{0, []string{"CAP_DAC_READ_SEARCH"}, nil, true},
		{0, []string{"CAP_CHOWN"}, nil, false},
		{0, nil, nil, false},
		{1, []string{"CAP_DAC_OVERRIDE"}, nil, false},
		{1, nil, []string{"CAP_DAC_OVERRIDE"}, true},
	} {
		p := &specs.Process{User: specs.User{UID: c.uid}, Capabilities: &specs.LinuxCapabilities{Effective: c.effective, Ambient: c.ambient}}
		if got := UserOf(p, nil).BypassModes; got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if UserOf(&specs.Process{}, nil).BypassModes {
		t.Error("root without capabilities bypasses modes")
	}
}

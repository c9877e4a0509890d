package direct

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/container"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp/profile"
)

// outside names the first field, with its value where that is the reason, of a
// configuration that this package does not understand in full; it is empty if
// there is none.
func outside(config *oci.Config, o options.Options) string {
	switch {
	case o.AllowNativeExec:
		return "the runtime option allow_native_exec"
	case o.NoPivotRoot:
		return "the runtime option NoPivotRoot"
	case config.Spec.Linux == nil:
		return "linux is missing"
	case o.UsesSystemd(config.Spec):
		return "linux.cgroupsPath in the form of systemd"
	}
	if err := container.Available(); err != nil {
		return err.Error()
	}
	if field := unknownField(config.JSON()); field != "" {
		return field
	}
	for _, check := range []func(*specs.Spec) string{
		checkNamespaces, checkNames, checkLimits, checkMounts, checkCgroup, checkDevices, checkPropagation, checkSeccomp,
	} {
		if why := check(config.Spec); why != "" {
			return why
		}
	}
	return ""
}

// outsideProcess is outside for the process of an exec.
func outsideProcess(p *specs.Process) string {
	data, err := json.Marshal(map[string]any{"ociVersion": specs.Version, "process": p})
	if err != nil {
		return err.Error()
	}
	if field := unknownField(data); field != "" {
		return field
	}
	return checkLimits(&specs.Spec{Process: p})
}

// unknownField names the first field of a JSON text that is not in fields and has a
// value. Every occurrence of a field counts, also where there are two, and only
// with its exact name.
func unknownField(data []byte) string {
	w := walk{json.NewDecoder(bytes.NewReader(data))}
	w.UseNumber()
	field, err := w.value("")
	if err != nil {
		return err.Error() // oci.ReadSpec has read it
	}
	return field
}

type walk struct{ *json.Decoder }

// value reads one value at a path.
func (w walk) value(at string) (outside string, err error) {
	token, err := w.Token()
	if err != nil {
		return "", err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		if fields[at] || nothing(token) {
			return "", nil
		}
		return at, nil
	}
	element := at + "[]"
	for w.More() {
		if delim == '{' {
			key, err := w.Token()
			if err != nil {
				return "", err
			}
			if element = child(at, "*"); !fields[element] {
				element = child(at, key.(string))
			}
		}
		outside, err := w.value(element)
		if outside != "" || err != nil {
			return outside, err
		}
	}
	_, err = w.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return "", err
}

// nothing tells whether a value is as good as none.
func nothing(token json.Token) bool {
	return token == nil || token == "" || token == false
}

func child(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

// unseen are namespaces of which a new one makes no difference to a guest: it has
// no way to see a cgroup, and without linux.timeOffsets time is that of the host.
var unseen = map[specs.LinuxNamespaceType]bool{specs.CgroupNamespace: true, specs.TimeNamespace: true}

func checkNamespaces(spec *specs.Spec) string {
	seen := map[specs.LinuxNamespaceType]bool{}
	for _, ns := range spec.Linux.Namespaces {
		_, cloned := flags[ns.Type]
		why := ""
		switch {
		case seen[ns.Type]:
			why = " twice"
		case cloned:
		case ns.Type != specs.MountNamespace && !unseen[ns.Type]:
			why = " of its own"
		case ns.Path != "":
			why = " by path"
		}
		if why != "" {
			return fmt.Sprintf("linux.namespaces: %s%s", ns.Type, why)
		}
		seen[ns.Type] = true
	}
	if !seen[specs.MountNamespace] {
		return "linux.namespaces: no mount namespace"
	}
	return ""
}

func hasNamespace(spec *specs.Spec, kind specs.LinuxNamespaceType) bool {
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type == kind {
			return true
		}
	}
	return false
}

// checkNames: the host's own name is not a container's to set.
func checkNames(spec *specs.Spec) string {
	if (spec.Hostname != "" || spec.Domainname != "") && !hasNamespace(spec, specs.UTSNamespace) {
		return "hostname without a UTS namespace"
	}
	return ""
}

func checkLimits(spec *specs.Spec) string {
	seen := map[string]bool{}
	for _, l := range spec.Process.Rlimits {
		if _, ok := limits[l.Type]; !ok || seen[l.Type] {
			return "process.rlimits: " + l.Type
		}
		seen[l.Type] = true
	}
	return ""
}

func checkCgroup(spec *specs.Spec) string {
	p := spec.Linux.CgroupsPath
	if !strings.HasPrefix(p, "/") || path.Clean(p) == "/" {
		return fmt.Sprintf("linux.cgroupsPath %q", p)
	}
	if spec.Linux.Resources == nil {
		return ""
	}
	return container.Unsupported(spec.Linux.Resources)
}

// defaultDevices are what runc allows in addition to what any configuration says.
var defaultDevices = map[[2]int64]bool{
	{1, 3}: true, {1, 5}: true, {1, 7}: true, {1, 8}: true, {1, 9}: true,
	{5, 0}: true, {5, 1}: true, {5, 2}: true, {136, wildcard}: true,
}

const wildcard = -1

// checkDevices: the room has the devices that every container has, and no others
// work. So what is denied makes no difference, nor that a guest may make nodes,
// which it has no way to.
func checkDevices(spec *specs.Spec) string {
	if spec.Linux.Resources == nil {
		return ""
	}
	for _, d := range spec.Linux.Resources.Devices {
		number := [2]int64{wildcard, wildcard}
		if d.Major != nil {
			number[0] = *d.Major
		}
		if d.Minor != nil {
			number[1] = *d.Minor
		}
		if d.Allow && d.Access != "m" && !(d.Type == "c" && defaultDevices[number]) {
			return fmt.Sprintf("linux.resources.devices: allow %s %d:%d %s", d.Type, number[0], number[1], d.Access)
		}
	}
	return ""
}

func checkPropagation(spec *specs.Spec) string {
	switch p := spec.Linux.RootfsPropagation; p {
	case "", "private", "rprivate", "slave", "rslave":
		return ""
	default:
		return "linux.rootfsPropagation " + p
	}
}

// checkSeccomp: the runner's own filter has to be as strict as the profile.
func checkSeccomp(spec *specs.Spec) string {
	if spec.Linux.Seccomp == nil {
		return ""
	}
	if err := profile.Covers(spec.Linux.Seccomp, cell.Policy(1)); err != nil {
		return "linux.seccomp: " + err.Error()
	}
	return ""
}

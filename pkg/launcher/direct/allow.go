package direct

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/apparmor"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/container"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp/profile"
)

// outside names the first field, with its value where that is the reason, of a
// configuration that this package does not understand in full; it is empty if
// there is none. The runner has the job j.
func outside(config *oci.Config, o options.Options, j *job.Job) string {
	switch {
	case o.AllowNativeExec:
		return "the runtime option allow_native_exec"
	case o.NoPivotRoot:
		return "the runtime option NoPivotRoot"
	case config.Spec.Linux == nil:
		return "linux is missing"
	}
	if why := hostLacks(); why != "" {
		return why
	}
	if field := unknownField(config.JSON()); field != "" {
		return field
	}
	path := checkCgroup
	if o.UsesSystemd(config.Spec) {
		path = checkScope
	}
	for _, check := range []func(*specs.Spec) string{
		checkNamespaces, checkNames, checkLimits, checkMounts, checkPaths, checkSysctls, checkResources, checkDevices,
		checkPropagation, checkAppArmor, path,
	} {
		if why := check(config.Spec); why != "" {
			return why
		}
	}
	return checkSeccomp(config.Spec, j)
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
	spec := &specs.Spec{Process: p}
	if why := checkLimits(spec); why != "" {
		return why
	}
	return checkAppArmor(spec)
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
		// In an array even null is something: an element with nothing in it.
		if fields[at] || nothing(token) && !strings.HasSuffix(at, "[]") {
			return "", nil
		}
		return at, nil
	}
	element, something := at+"[]", delim == '{' // runc distinguishes {} from nothing
	for ; w.More(); something = true {
		if delim == '{' {
			key, err := w.Token()
			if err != nil {
				return "", err
			}
			if element = child(at, "*"); !fields[element] {
				element = child(at, escape(key.(string)))
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
	if something && !parents()[at] {
		return at, err
	}
	return "", err
}

// nothing tells whether a value is as good as none.
func nothing(token json.Token) bool {
	return token == nil || token == "" || token == false
}

// escape keeps a key from looking like a path.
func escape(key string) string {
	if strings.ContainsAny(key, ".[]*") {
		return strconv.Quote(key)
	}
	return key
}

// parents are the objects and arrays that lead to fields.
var parents = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{"": true}
	for field := range fields {
		for at := field; at != ""; all[at] = true {
			if array, ok := strings.CutSuffix(at, "[]"); ok {
				at = array
			} else {
				at = at[:max(0, strings.LastIndexByte(at, '.'))]
			}
		}
	}
	return all
})

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

// namespaceOf finds a namespace of the spec, or nil.
func namespaceOf(spec *specs.Spec, kind specs.LinuxNamespaceType) *specs.LinuxNamespace {
	for i := range spec.Linux.Namespaces {
		if ns := &spec.Linux.Namespaces[i]; ns.Type == kind {
			return ns
		}
	}
	return nil
}

// hasOwnNamespace tells whether there is a namespace that is not the shim's.
func hasOwnNamespace(spec *specs.Spec, kind specs.LinuxNamespaceType) bool {
	ns := namespaceOf(spec, kind)
	return ns != nil && (ns.Path == "" || !isCurrent(ns.Path, kind))
}

// isCurrent tells whether a path leads to a namespace of this process, or nowhere.
func isCurrent(path string, kind specs.LinuxNamespaceType) bool {
	its, err := os.Stat(path)
	if err != nil {
		return true
	}
	for name, flag := range visited {
		if flag != flags[kind] {
			continue
		}
		if ours, err := os.Stat("/proc/self/ns/" + name); err == nil {
			return os.SameFile(its, ours)
		}
	}
	return true
}

// checkNames: the host's own name is not a container's to set.
func checkNames(spec *specs.Spec) string {
	if (spec.Hostname != "" || spec.Domainname != "") && namespaceOf(spec, specs.UTSNamespace) == nil {
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

// checkPaths: what is hidden is somewhere below the root.
func checkPaths(spec *specs.Spec) string {
	for field, paths := range map[string][]string{"maskedPaths": spec.Linux.MaskedPaths, "readonlyPaths": spec.Linux.ReadonlyPaths} {
		for _, p := range paths {
			if !strings.HasPrefix(p, "/") || path.Clean(p) == "/" {
				return fmt.Sprintf("linux.%s %q", field, p)
			}
		}
	}
	return ""
}

// ipcSysctls are those of an IPC namespace, with all of fs.mqueue.
var ipcSysctls = map[string]bool{
	"kernel.msgmax": true, "kernel.msgmnb": true, "kernel.msgmni": true, "kernel.sem": true,
	"kernel.shmall": true, "kernel.shmmax": true, "kernel.shmmni": true, "kernel.shm_rmid_forced": true,
}

// checkSysctls: the host's are not a container's to set. runc says so.
func checkSysctls(spec *specs.Spec) string {
	for _, name := range slices.Sorted(maps.Keys(spec.Linux.Sysctl)) {
		kind := specs.LinuxNamespaceType("")
		switch {
		case strings.Contains(name, "/"): // then "." is no separator
		case ipcSysctls[name], strings.HasPrefix(name, "fs.mqueue."):
			kind = specs.IPCNamespace
		case strings.HasPrefix(name, "net."):
			kind = specs.NetworkNamespace
		case name == "kernel.domainname":
			kind = specs.UTSNamespace
		}
		if kind == "" || !hasOwnNamespace(spec, kind) {
			return "linux.sysctl " + name
		}
	}
	return ""
}

func checkCgroup(spec *specs.Spec) string {
	p := spec.Linux.CgroupsPath
	if !strings.HasPrefix(p, "/") || path.Clean(p) == "/" {
		return fmt.Sprintf("linux.cgroupsPath %q", p)
	}
	return ""
}

func checkResources(spec *specs.Spec) string {
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

// checkAppArmor: the runner has to be able to put all of its threads under the profile.
func checkAppArmor(spec *specs.Spec) string {
	if why := apparmor.Lacks(spec.Process.ApparmorProfile); why != "" {
		return "process.apparmorProfile: " + why
	}
	return ""
}

// checkSeccomp: the runner's own filter has to be as strict as the profile.
func checkSeccomp(spec *specs.Spec, j *job.Job) string {
	if spec.Linux.Seccomp == nil {
		return ""
	}
	policy := cell.Policy
	if j.CGI != nil {
		policy = cell.GatewayPolicy
	}
	if err := profile.Covers(spec.Linux.Seccomp, policy(1, cell.Most(j.Network))); err != nil {
		return "linux.seccomp: " + err.Error()
	}
	return ""
}

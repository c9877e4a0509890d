package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
)

// annotationSandbox names the pod of a container.
const annotationSandbox = "io.kubernetes.cri.sandbox-id"

// PrepareMember gives a container of the pod what containerd leaves to us: the
// pod's /dev/shm, and /etc/hostname, hosts and resolv.conf, unless something is
// mounted there already. It rewrites config.json and keeps what it does not know.
// A pod that has stopped takes no containers: there is nothing to join.
func (s *Service) PrepareMember(id string, dir bundle.Dir) error {
	p := s.current()
	if p == nil {
		return nil
	}
	file := dir.Path("config.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read spec: %w", err)
	}
	var whole map[string]json.RawMessage
	var known struct {
		Annotations map[string]string
		Root        *specs.Root
		Mounts      []json.RawMessage
		Linux       struct{ CgroupsPath string }
	}
	if json.Unmarshal(data, &whole) != nil || json.Unmarshal(data, &known) != nil {
		return nil // a spec that cannot be read is told about where it is needed
	}
	if known.Annotations[annotationSandbox] != p.id {
		return nil
	}
	if p.view().phase != ready {
		return fmt.Errorf("sandbox %q does not run: %w", p.id, errdefs.ErrFailedPrecondition)
	}
	if err := p.recordMember(bundle.Member{ID: id, Bundle: dir, Cgroup: pod.MemberCgroup(known.Linux.CgroupsPath)}); err != nil {
		return err
	}
	mounts, err := p.addMounts(known.Mounts, known.Root != nil && known.Root.Readonly)
	if err != nil {
		return fmt.Errorf("mounts of the pod: %w", err)
	}
	if whole["mounts"], err = json.Marshal(mounts); err != nil {
		return err
	}
	if data, err = json.Marshal(whole); err != nil {
		return err
	}
	return bundle.WriteFile(file, data)
}

// recordMember tells the delete helper about a container, and forgets those that
// are gone.
func (p *sandbox) recordMember(m bundle.Member) error {
	p.recording.Lock()
	defer p.recording.Unlock()
	p.record.Members = slices.DeleteFunc(p.record.Members, func(old bundle.Member) bool {
		return old.ID == m.ID || !old.Bundle.Exists()
	})
	p.record.Members = append(p.record.Members, m)
	return p.dir.WriteSandbox(p.record)
}

// addMounts returns the mounts of a container in the pod.
func (p *sandbox) addMounts(mounts []json.RawMessage, readonly bool) ([]json.RawMessage, error) {
	taken := make(map[string]bool)
	kept := make([]json.RawMessage, 0, len(mounts)+4)
	for _, raw := range mounts {
		var m specs.Mount
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, err
		}
		at := path.Clean(m.Destination)
		// The one that every spec starts with is the container's alone.
		if at == "/dev/shm" && m.Type == "tmpfs" && m.Source == "shm" && p.config.IPC {
			continue
		}
		taken[at] = true
		kept = append(kept, raw)
	}
	add := func(at, source string, options ...string) error {
		if taken[at] {
			return nil
		}
		raw, err := json.Marshal(specs.Mount{Destination: at, Type: "bind", Source: source, Options: options})
		kept = append(kept, raw)
		return err
	}
	access := "rw"
	if readonly {
		access = "ro"
	}
	for _, name := range []string{"hostname", "hosts", "resolv.conf"} {
		if err := add("/etc/"+name, p.dir.Path(name), "rbind", "rprivate", access); err != nil {
			return nil, err
		}
	}
	if !p.config.IPC {
		return kept, nil
	}
	return kept, add("/dev/shm", p.dir.Shm(), "rbind", "rprivate", "rw", "nosuid", "nodev", "noexec")
}

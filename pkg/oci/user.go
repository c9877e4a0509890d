package oci

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// User is who a container's process is to the file system: ids as the host
// counts them.
type User struct {
	UID, GID uint32
	// Groups are the supplementary groups.
	Groups []uint32
	// BypassModes says that the process has CAP_DAC_OVERRIDE or
	// CAP_DAC_READ_SEARCH, so that mode bits do not bind it.
	BypassModes bool
	// Unknown says that the ids cannot be told from here; nothing is refused.
	Unknown bool

	uids, gids idMap
}

// UserOf translates process.user through the id mappings of the container's user
// namespace, if it has one.
func UserOf(process *specs.Process, container *specs.Spec) User {
	u := User{Groups: make([]uint32, 0, len(process.User.AdditionalGids))}
	if container != nil && container.Linux != nil {
		u.uids, u.gids = container.Linux.UIDMappings, container.Linux.GIDMappings
		u.Unknown = joinsUserNamespace(container)
	}
	var ok bool
	if u.UID, ok = u.uids.toHost(process.User.UID); !ok {
		u.Unknown = true
	}
	if u.GID, ok = u.gids.toHost(process.User.GID); !ok {
		u.Unknown = true
	}
	for _, gid := range process.User.AdditionalGids {
		if host, ok := u.gids.toHost(gid); ok {
			u.Groups = append(u.Groups, host)
		}
	}
	caps := capabilitiesAfterExec(process)
	u.BypassModes = slices.Contains(caps, "CAP_DAC_OVERRIDE") || slices.Contains(caps, "CAP_DAC_READ_SEARCH")
	return u
}

// joinsUserNamespace: the mappings of a namespace that exists already are not in
// the spec.
func joinsUserNamespace(s *specs.Spec) bool {
	return slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.UserNamespace && n.Path != ""
	})
}

// capabilitiesAfterExec are the effective capabilities once the process has been
// executed: those of the spec for root, only the ambient ones for anybody else
// (capabilities(7), "Transformation of capabilities during execve").
func capabilitiesAfterExec(process *specs.Process) []string {
	switch {
	case process.Capabilities == nil:
		return nil
	case process.User.UID == 0:
		return process.Capabilities.Effective
	default:
		return process.Capabilities.Ambient
	}
}

// mayRead and maySearch apply the mode bits of path_resolution(7). Access
// control lists can only grant more; a file that has one is not refused here,
// because nothing but the kernel can tell.
func (u User) mayRead(st *unix.Stat_t) bool   { return u.allows(st, 0o4) }
func (u User) maySearch(st *unix.Stat_t) bool { return u.allows(st, 0o1) }

func (u User) allows(st *unix.Stat_t, bit uint32) bool {
	switch {
	case u.Unknown:
		return true
	case u.BypassModes && u.uids.hasHost(st.Uid) && u.gids.hasHost(st.Gid):
		return true
	case st.Uid == u.UID:
		return st.Mode>>6&bit != 0
	case st.Gid == u.GID || slices.Contains(u.Groups, st.Gid):
		return st.Mode>>3&bit != 0
	default:
		return st.Mode&bit != 0
	}
}

// hasACL asks for an access control list of the file behind a handle.
func hasACL(handle int) bool {
	_, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", handle), "system.posix_acl_access", nil)
	return err == nil
}

// idMap maps the ids of a user namespace; an empty one is the identity.
type idMap []specs.LinuxIDMapping

func (m idMap) toHost(id uint32) (uint32, bool) {
	for _, r := range m {
		if id >= r.ContainerID && id-r.ContainerID < r.Size {
			return r.HostID + (id - r.ContainerID), true
		}
	}
	return id, len(m) == 0
}

func (m idMap) hasHost(id uint32) bool {
	for _, r := range m {
		if id >= r.HostID && id-r.HostID < r.Size {
			return true
		}
	}
	return len(m) == 0
}

package room

import (
	"maps"
	"slices"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/packed"
)

// Pack writes or reads a room. Every field has to be named here.
func (r *Room) Pack(c *packed.Coder) {
	c.Bool(&r.Join)
	c.String(&r.Root)
	c.Bool(&r.ReadOnly)
	packed.Slice(c, &r.Mounts, func(m *Mount) { m.pack(c) })
	c.Bool(&r.Devices)
	c.Strings(&r.Masked)
	c.Strings(&r.ReadOnlyPaths)
	c.Bool(&r.Hooks)
	c.String(&r.Hostname)
	c.String(&r.Domainname)
	c.Bool(&r.Loopback)
	r.packSysctls(c)
	packed.Pointer(c, &r.OOMScore, c.Int)
	packed.Slice(c, &r.Limits, func(l *Limit) { l.pack(c) })
	r.User.pack(c)
	c.Bool(&r.Terminal)
	c.String(&r.Cwd)
	c.String(&r.AppArmor)
}

func (m *Mount) pack(c *packed.Coder) {
	c.String(&m.Source)
	c.String(&m.Target)
	c.Bool(&m.Recursive)
	c.Uint64(&m.Set)
	c.Uint64(&m.Clear)
	c.Uint64(&m.SetAll)
	c.Bool(&m.Slave)
	c.Strings(&m.Options)
}

func (l *Limit) pack(c *packed.Coder) {
	c.Int(&l.Resource)
	c.String(&l.Name)
	c.Uint64(&l.Soft)
	c.Uint64(&l.Hard)
}

func (u *User) pack(c *packed.Coder) {
	c.Uint32(&u.UID)
	c.Uint32(&u.GID)
	packed.Slice(c, &u.Groups, c.Uint32)
	c.Uint32(&u.Umask)
}

// packSysctls writes them in the order of their names.
func (r *Room) packSysctls(c *packed.Coder) {
	names := slices.Sorted(maps.Keys(r.Sysctls))
	c.Strings(&names)
	if c.Reading() {
		r.Sysctls = nil
		if len(names) > 0 {
			r.Sysctls = make(map[string]string, len(names))
		}
	}
	for _, name := range names {
		value := r.Sysctls[name]
		c.String(&value)
		r.Sysctls[name] = value
	}
}

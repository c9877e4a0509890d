package container

import (
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Unsupported names the first field of resources which this package does not set
// in full, as it is spelled in config.json; "" if there is none. Fields with the
// value that means nothing are none, for Docker sends all of them. Devices are not
// its business.
func Unsupported(r *specs.LinuxResources) string {
	if r == nil {
		return ""
	}
	const prefix = "linux.resources."
	if m := r.Memory; m != nil {
		switch {
		case given(m.Kernel): //lint:ignore SA1019 others may still send it
			return prefix + "memory.kernel"
		case given(m.KernelTCP):
			return prefix + "memory.kernelTCP"
		case given(m.UseHierarchy):
			return prefix + "memory.useHierarchy"
		}
	}
	if c := r.CPU; c != nil {
		switch {
		case given(c.RealtimeRuntime):
			return prefix + "cpu.realtimeRuntime"
		case given(c.RealtimePeriod):
			return prefix + "cpu.realtimePeriod"
		}
	}
	if b := r.BlockIO; b != nil {
		switch {
		case given(b.LeafWeight):
			return prefix + "blockIO.leafWeight"
		case len(b.WeightDevice) > 0:
			return prefix + "blockIO.weightDevice"
		case len(b.ThrottleReadBpsDevice) > 0:
			return prefix + "blockIO.throttleReadBpsDevice"
		case len(b.ThrottleWriteBpsDevice) > 0:
			return prefix + "blockIO.throttleWriteBpsDevice"
		case len(b.ThrottleReadIOPSDevice) > 0:
			return prefix + "blockIO.throttleReadIOPSDevice"
		case len(b.ThrottleWriteIOPSDevice) > 0:
			return prefix + "blockIO.throttleWriteIOPSDevice"
		}
	}
	if n := r.Network; n != nil {
		switch {
		case given(n.ClassID):
			return prefix + "network.classID"
		case len(n.Priorities) > 0:
			return prefix + "network.priorities"
		}
	}
	if len(r.Rdma) > 0 {
		return prefix + "rdma"
	}
	for _, file := range slices.Sorted(maps.Keys(r.Unified)) {
		// Those of the core act on members, of which runc has one by then.
		if strings.HasPrefix(file, "cgroup.") {
			return prefix + "unified." + file
		}
	}
	return ""
}

func given[T comparable](p *T) bool {
	var zero T
	return p != nil && *p != zero
}

// limits are the resources of a container as runc keeps them: 0, "" and nil are
// what nobody has asked for.
type limits struct {
	memory, reservation, swap int64 // -1 is no limit
	swappiness                *uint64
	disableOOM, check         bool

	shares, period uint64
	quota          int64
	burst          *uint64
	idle           *int64
	cpus, mems     string

	pids      *int64
	weight    uint16
	hugepages []specs.LinuxHugepageLimit
	unified   map[string]string
}

func limitsOf(r *specs.LinuxResources) limits {
	var l limits
	if r == nil {
		return l
	}
	l.takeCommon(r)
	if c := r.CPU; c != nil {
		take(&l.period, c.Period)
		take(&l.quota, c.Quota)
	}
	if m := r.Memory; m != nil {
		l.swappiness = m.Swappiness
		take(&l.disableOOM, m.DisableOOMKiller)
	}
	l.hugepages = r.HugepageLimits
	return l
}

// with is what limits are after an update. As with "runc update", what the update
// does not name stays, and some fields it cannot change.
func (l limits) with(r *specs.LinuxResources) limits {
	if r == nil {
		return l
	}
	l.check = false // for one update only
	l.takeCommon(r)
	var period uint64
	var quota int64
	if c := r.CPU; c != nil {
		take(&period, c.Period)
		take(&quota, c.Quota)
		if c.Idle != nil && c.Shares == nil {
			l.shares = 0 // an idle cgroup has none
		}
	}
	both := (period == 0) == (quota == 0) // one of them alone leaves the other
	if both || period != 0 {
		l.period = period
	}
	if both || quota != 0 {
		l.quota = quota
	}
	if m := r.Memory; m != nil && m.Limit != nil && *m.Limit == -1 && m.Swap == nil {
		l.swap = 0 // follows the limit
	}
	return l
}

// takeCommon is what runc reads alike from a spec and from an update.
func (l *limits) takeCommon(r *specs.LinuxResources) {
	if m := r.Memory; m != nil {
		take(&l.memory, m.Limit)
		take(&l.reservation, m.Reservation)
		take(&l.swap, m.Swap)
		take(&l.check, m.CheckBeforeUpdate)
	}
	l.burst, l.idle, l.cpus, l.mems, l.pids = nil, nil, "", "", nil
	if c := r.CPU; c != nil {
		take(&l.shares, c.Shares)
		l.burst, l.idle, l.cpus, l.mems = c.Burst, c.Idle, c.Cpus, c.Mems
	}
	if r.Pids != nil {
		l.pids = r.Pids.Limit
	}
	if r.BlockIO != nil {
		take(&l.weight, r.BlockIO.Weight)
	}
	l.unified = r.Unified
}

func take[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

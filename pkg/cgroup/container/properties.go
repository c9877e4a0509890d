package container

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/scope"
)

// Versions of systemd: the least that knows everything but what follows, the first
// that has CPUWeight=0 for idle cgroups, and OOMPolicy for scopes.
const (
	LeastSystemd           = 244
	idleSystemd, oomPolicy = 252, 253
	newest                 = math.MaxInt
)

// infinity is what systemd calls a limit that is none.
const infinity = uint64(math.MaxUint64)

// properties are the limits that a version of systemd knows. They are what runc tells
// it; but systemd also learns when there is to be no swap, and when a cgroup is not
// idle any more, which it would undo.
func (l *limits) properties(version int) ([]scope.Property, error) {
	var p []scope.Property
	set := func(name string, value any) { p = append(p, scope.NewProperty(name, value)) }
	swap, err := l.swapOnly()
	if err != nil {
		return nil, err
	}
	if l.memory != 0 {
		set("MemoryMax", uint64(l.memory)) // -1 is infinity
	}
	if l.reservation != 0 {
		set("MemoryLow", uint64(l.reservation))
	}
	if swap != 0 || l.swap > 0 {
		set("MemorySwapMax", uint64(swap))
	}
	switch {
	case l.idle != nil && *l.idle == 1 && version >= idleSystemd:
		set("CPUWeight", uint64(0))
	case l.shares != 0:
		set("CPUWeight", cpuWeight(l.shares))
	case l.idle != nil && *l.idle == 0 && version >= idleSystemd:
		set("CPUWeight", infinity) // not set any more
	}
	p = append(p, quotaProperties(l.quota, l.period)...)
	if l.pids != nil {
		tasks := infinity
		if *l.pids >= 0 {
			tasks = uint64(max(1, *l.pids)) // 0 would be taken for none
		}
		set("TasksMax", tasks)
	}
	for _, set := range []struct{ property, field, list string }{
		{"AllowedCPUs", "cpu.cpus", l.cpus}, {"AllowedMemoryNodes", "cpu.mems", l.mems},
	} {
		if set.list == "" {
			continue
		}
		bits, err := bitsOf(set.list)
		if err != nil {
			return nil, fmt.Errorf(resources+"%s: %w", set.field, err)
		}
		p = append(p, scope.NewProperty(set.property, bits))
	}
	unified, err := l.unifiedProperties(version)
	return append(p, unified...), err
}

// Quotas of systemd are in microseconds of a second, and go in steps of one percent.
const second, percent = 1_000_000, 10_000

// defaultPeriod is the kernel's.
const defaultPeriod = 100_000

// perSecond is what a quota is in a second, rounded up to what systemd takes.
func perSecond(quota int64, period uint64) uint64 {
	if period == 0 {
		period = defaultPeriod
	}
	product := new(big.Int).Mul(big.NewInt(quota), big.NewInt(second))
	product.Div(product, new(big.Int).SetUint64(period))
	if !product.IsUint64() || product.Uint64() > infinity-percent {
		return infinity
	}
	return (product.Uint64() + percent - 1) / percent * percent
}

func quotaProperties(quota int64, period uint64) []scope.Property {
	var p []scope.Property
	if period != 0 {
		p = append(p, scope.NewProperty("CPUQuotaPeriodUSec", period))
	}
	switch {
	case quota > 0:
		p = append(p, scope.NewProperty("CPUQuotaPerSecUSec", perSecond(quota, period)))
	case quota != 0 || period != 0:
		p = append(p, scope.NewProperty("CPUQuotaPerSecUSec", infinity))
	}
	return p
}

// inScope are the limits for the files, where the quota is the one that systemd has.
func (l *limits) inScope() *limits {
	rounded := *l
	if l.quota <= 0 {
		return &rounded
	}
	period := l.period
	if period == 0 {
		period = defaultPeriod
	}
	if each := perSecond(l.quota, period); each != infinity {
		quota := new(big.Int).Mul(new(big.Int).SetUint64(each), new(big.Int).SetUint64(period))
		if quota.Div(quota, big.NewInt(second)); quota.IsInt64() && quota.Int64() > l.quota {
			rounded.quota = quota.Int64()
		}
	}
	return &rounded
}

// unifiedProperties are those of files that systemd has a name for.
func (l *limits) unifiedProperties(version int) ([]scope.Property, error) {
	var p []scope.Property
	idle := strings.TrimSpace(l.unified["cpu.idle"]) == "1" && version >= idleSystemd
	for _, file := range slices.Sorted(maps.Keys(l.unified)) {
		value := strings.TrimSpace(l.unified[file])
		var more []scope.Property
		var err error
		switch file {
		case "cpu.idle":
			if idle {
				more = []scope.Property{scope.NewProperty("CPUWeight", uint64(0))}
			}
		case "cpu.weight":
			if !idle {
				more, err = numberProperty("CPUWeight", value)
			}
		case "cpu.max":
			more, err = maxProperties(value)
		case "pids.max":
			if value == "0" {
				value = "1"
			}
			more, err = limitProperty("TasksMax", value)
		case "cpuset.cpus", "cpuset.mems":
			var bits []byte
			bits, err = bitsOf(value)
			more = []scope.Property{scope.NewProperty(unifiedNames[file], bits)}
		case "memory.high", "memory.low", "memory.min", "memory.max", "memory.swap.max":
			more, err = limitProperty(unifiedNames[file], value)
		}
		if err != nil {
			return nil, fmt.Errorf(resources+"unified.%s: %w", file, err)
		}
		p = append(p, more...)
	}
	return p, nil
}

var unifiedNames = map[string]string{
	"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes",
	"memory.high": "MemoryHigh", "memory.low": "MemoryLow", "memory.min": "MemoryMin",
	"memory.max": "MemoryMax", "memory.swap.max": "MemorySwapMax",
}

func numberProperty(name, value string) ([]scope.Property, error) {
	n, err := strconv.ParseUint(value, 10, 64)
	return []scope.Property{scope.NewProperty(name, n)}, err
}

// limitProperty is that of a number, or "max".
func limitProperty(name, value string) ([]scope.Property, error) {
	if value == "max" {
		return []scope.Property{scope.NewProperty(name, infinity)}, nil
	}
	return numberProperty(name, value)
}

// maxProperties are those of cpu.max: "QUOTA [PERIOD]".
func maxProperties(value string) ([]scope.Property, error) {
	words := strings.Fields(value)
	if len(words) < 1 || len(words) > 2 {
		return nil, fmt.Errorf("%q is not QUOTA PERIOD", value)
	}
	quota, period := int64(-1), uint64(defaultPeriod)
	var err error
	if words[0] != "max" {
		if quota, err = strconv.ParseInt(words[0], 10, 64); err != nil {
			return nil, err
		}
	}
	if len(words) == 2 {
		if period, err = strconv.ParseUint(words[1], 10, 64); err != nil {
			return nil, err
		}
	}
	return quotaProperties(quota, period), nil
}

// oomPolicy is for a new scope only: systemd does not change it later.
func (l *limits) oomPolicy(version int) []scope.Property {
	policy := map[string]string{"0": "continue", "1": "kill"}[strings.TrimSpace(l.unified["memory.oom.group"])]
	if policy == "" || version < oomPolicy {
		return nil
	}
	return []scope.Property{scope.NewProperty("OOMPolicy", policy)}
}

// mostBits bounds a list, which may come from a user: no kernel has as many CPUs.
const mostBits = 1 << 16

// bitsOf a list as cpusets have it ("0,2-4"): the first is the lowest bit of the
// first byte.
func bitsOf(list string) ([]byte, error) {
	var bits []byte
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 32)
		if err != nil {
			return nil, err
		}
		last, err := strconv.ParseUint(to, 10, 32)
		if err != nil {
			return nil, err
		}
		if first > last || last >= mostBits {
			return nil, fmt.Errorf("%q is no range", part)
		}
		for bit := first; bit <= last; bit++ {
			for uint64(len(bits)) <= bit/8 {
				bits = append(bits, 0)
			}
			bits[bit/8] |= 1 << (bit % 8)
		}
	}
	if len(bits) == 0 {
		return nil, fmt.Errorf("%q is empty", list)
	}
	return bits, nil
}

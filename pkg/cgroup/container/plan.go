package container

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A plan is the writes that set limits, in their order.
type plan []write

// write is what goes into one file. On v1 the file is in the controller's
// hierarchy.
type write struct {
	controller, file, value string
	field                   string // of config.json, that errors name
	// optional is not asked for, or means nothing, where the file is missing.
	optional bool
	// instead is for where the file is missing.
	instead *write
	// again is a write that the kernel may refuse for the old value of what the next
	// one without this mark sets; then it is repeated after that.
	again bool
}

const resources = "linux.resources."

// unlimited is the memory limit of a new cgroup.
const unlimited = ^uint64(0)

// v1 plans for cgroup v1. memory is the current limit, on which the order depends.
func (l *limits) v1(memory uint64) (plan, error) {
	if len(l.unified) > 0 {
		return nil, errors.New(resources + "unified: there is none on cgroup v1")
	}
	mem, err := l.v1Memory(memory)
	if err != nil {
		return nil, err
	}
	cpu, err := l.v1CPU()
	if err != nil {
		return nil, err
	}
	p := slices.Concat(l.cpuset(), mem, cpu, l.pidsMax())
	if l.weight != 0 {
		value := strconv.Itoa(int(l.weight))
		const field = resources + "blockIO.weight"
		p = append(p, write{controller: "blkio", file: "blkio.weight", value: value, field: field, // Linux before 5.0
			instead: &write{controller: "blkio", file: "blkio.bfq.weight", value: value, field: field}})
	}
	huge, err := l.huge(".limit_in_bytes")
	return append(p, huge...), err
}

func (l *limits) cpuset() plan {
	var p plan
	if l.cpus != "" {
		p = append(p, write{controller: "cpuset", file: "cpuset.cpus", value: l.cpus, field: resources + "cpu.cpus"})
	}
	if l.mems != "" {
		p = append(p, write{controller: "cpuset", file: "cpuset.mems", value: l.mems, field: resources + "cpu.mems"})
	}
	return p
}

func (l *limits) v1Memory(current uint64) (plan, error) {
	at := func(file, field string, value int64) write {
		return write{controller: "memory", file: file, value: strconv.FormatInt(value, 10), field: resources + "memory." + field}
	}
	limit := at("memory.limit_in_bytes", "limit", l.memory)
	total := at("memory.memsw.limit_in_bytes", "swap", l.swap)
	swap := l.swap
	if l.memory == -1 && swap == 0 {
		swap, total.value, total.optional = -1, "-1", true // only with swap accounting
	}
	var p plan
	switch {
	case l.memory != 0 && swap != 0 && (swap == -1 || current < uint64(swap)):
		p = plan{total, limit} // the total may never be less than the limit
	case l.memory != 0 && swap != 0:
		p = plan{limit, total}
	case l.memory != 0:
		p = plan{limit}
	case swap != 0:
		p = plan{total}
	}
	if l.reservation != 0 {
		p = append(p, at("memory.soft_limit_in_bytes", "reservation", l.reservation))
	}
	if l.disableOOM {
		p = append(p, at("memory.oom_control", "disableOOMKiller", 1))
	}
	if s := l.swappiness; s != nil && int64(*s) != -1 {
		const most = 100
		if *s > most {
			return nil, fmt.Errorf(resources+"memory.swappiness: %d is more than %d", *s, most)
		}
		p = append(p, at("memory.swappiness", "swappiness", int64(*s)))
	}
	return p, nil
}

// The kernel would take other shares for those.
const leastShares, mostShares = 2, 1 << 18

func (l *limits) v1CPU() (plan, error) {
	at := func(file, field string, value int64) write {
		return write{controller: "cpu", file: file, value: strconv.FormatInt(value, 10), field: resources + "cpu." + field}
	}
	var p plan
	if l.shares != 0 {
		if l.shares < leastShares || l.shares > mostShares {
			return nil, fmt.Errorf(resources+"cpu.shares: %d is not between %d and %d", l.shares, leastShares, mostShares)
		}
		p = append(p, at("cpu.shares", "shares", int64(l.shares)))
	}
	if l.period != 0 {
		w := at("cpu.cfs_period_us", "period", 0)
		w.value, w.again = strconv.FormatUint(l.period, 10), l.quota != 0
		p = append(p, w)
	}
	if l.burst != nil {
		w := at("cpu.cfs_burst_us", "burst", 0)
		w.value, w.again, w.optional = strconv.FormatUint(*l.burst, 10), l.quota != 0, true // Linux before 5.14
		p = append(p, w)
	}
	if l.quota != 0 {
		p = append(p, at("cpu.cfs_quota_us", "quota", l.quota))
	}
	if l.idle != nil {
		p = append(p, at("cpu.idle", "idle", *l.idle))
	}
	return p, nil
}

func (l *limits) pidsMax() plan {
	if l.pids == nil {
		return nil
	}
	value := "max"
	if *l.pids >= 0 {
		value = strconv.FormatInt(max(1, *l.pids), 10) // 0 would be taken for none by systemd
	}
	return plan{{controller: "pids", file: "pids.max", value: value, field: resources + "pids.limit"}}
}

// isPageSize tells whether a size is as the kernel names those of huge pages: 64KB,
// 2MB, 1GB. It becomes part of a file's name.
func isPageSize(size string) bool {
	number := strings.TrimRight(size, "KMGB")
	_, err := strconv.ParseUint(number, 10, 32)
	unit := size[len(number):]
	return err == nil && (unit == "KB" || unit == "MB" || unit == "GB")
}

// huge limits use and, where the kernel can, reservation.
func (l *limits) huge(suffix string) (plan, error) {
	var p plan
	for _, h := range l.hugepages {
		const field = resources + "hugepageLimits"
		if !isPageSize(h.Pagesize) {
			return nil, fmt.Errorf(field+": %q is no size of a page", h.Pagesize)
		}
		w := write{controller: "hugetlb", file: "hugetlb." + h.Pagesize + suffix, value: strconv.FormatUint(h.Limit, 10), field: field}
		p = append(p, w)
		w.file, w.optional = "hugetlb."+h.Pagesize+".rsvd"+suffix, true
		p = append(p, w)
	}
	return p, nil
}

// v2 plans for cgroup v2.
func (l *limits) v2() (plan, error) {
	mem, err := l.v2Memory()
	if err != nil {
		return nil, err
	}
	p := slices.Concat(l.pidsMax(), mem, l.v2IO(), l.v2CPU(), l.cpuset())
	huge, err := l.huge(".max")
	if err != nil {
		return nil, err
	}
	unified, err := l.v2Unified()
	return slices.Concat(p, huge, unified), err
}

func (l *limits) v2Memory() (plan, error) {
	swap, err := l.swapOnly()
	if err != nil {
		return nil, err
	}
	var p plan
	at := func(file, field string, value int64) *write {
		text := "max"
		if value != -1 {
			text = strconv.FormatInt(value, 10)
		}
		p = append(p, write{controller: "memory", file: file, value: text, field: resources + "memory." + field})
		return &p[len(p)-1]
	}
	if swap != 0 || l.swap > 0 {
		w := at("memory.swap.max", "swap", swap)
		w.optional = swap == 0 || swap == -1 // without swap there is none anyway
	}
	if l.memory != 0 {
		at("memory.max", "limit", l.memory)
	}
	if l.reservation != 0 {
		at("memory.low", "reservation", l.reservation)
	}
	return p, nil
}

// swapOnly is the limit of swap alone, where the spec has that of both together.
func (l *limits) swapOnly() (int64, error) {
	const field = resources + "memory.swap: "
	switch {
	case l.memory == -1 && l.swap == 0:
		return -1, nil
	case l.swap == -1, l.swap == 0, l.memory == -1:
		return l.swap, nil
	case l.memory == 0:
		return 0, errors.New(field + "it includes the memory, for which there is no limit")
	case l.memory < 0:
		return 0, fmt.Errorf(resources+"memory.limit: %d is none", l.memory)
	case l.swap < l.memory:
		return 0, fmt.Errorf(field+"%d includes the memory, but is less than its limit", l.swap)
	}
	return l.swap - l.memory, nil
}

func (l *limits) v2IO() plan {
	if l.weight == 0 {
		return nil
	}
	const field = resources + "blockIO.weight"
	return plan{{controller: "io", file: "io.bfq.weight", value: strconv.Itoa(int(l.weight)), field: field,
		instead: &write{controller: "io", file: "io.weight", value: strconv.FormatUint(ioWeight(l.weight), 10), field: field}}}
}

func (l *limits) v2CPU() plan {
	var p plan
	at := func(file, field, value string) *write {
		p = append(p, write{controller: "cpu", file: file, value: value, field: resources + "cpu." + field})
		return &p[len(p)-1]
	}
	if l.idle != nil {
		at("cpu.idle", "idle", strconv.FormatInt(*l.idle, 10))
	}
	if l.shares != 0 {
		at("cpu.weight", "shares", strconv.FormatUint(cpuWeight(l.shares), 10))
	}
	if l.burst != nil {
		at("cpu.max.burst", "burst", strconv.FormatUint(*l.burst, 10)).again = l.quota != 0
	}
	if l.quota != 0 || l.period != 0 {
		quota, period, field := "max", uint64(100_000), "period" // what the kernel begins with
		if l.quota != 0 {
			field = "quota"
		}
		if l.quota > 0 {
			quota = strconv.FormatInt(l.quota, 10)
		}
		if l.period != 0 {
			period = l.period
		}
		at("cpu.max", field, quota+" "+strconv.FormatUint(period, 10))
	}
	return p
}

// v2Unified are files that the spec names itself. Each line is a write.
func (l *limits) v2Unified() (plan, error) {
	var p plan
	for _, file := range slices.Sorted(maps.Keys(l.unified)) {
		controller, parameter, ok := strings.Cut(file, ".")
		if !ok || controller == "" || parameter == "" || strings.ContainsAny(file, "/\x00") {
			return nil, fmt.Errorf(resources+"unified: %q is not a file's name as CONTROLLER.PARAMETER", file)
		}
		for line := range lines(l.unified[file]) {
			p = append(p, write{controller: controller, file: file, value: line, field: resources + "unified." + file})
		}
	}
	return p, nil
}

// lines yields the lines of text with their ends; one if text is empty.
func lines(text string) func(func(string) bool) {
	if text == "" {
		return func(yield func(string) bool) { yield("") }
	}
	return strings.Lines(text)
}

package cgroup

import (
	"strconv"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

// Stats encodes an io.containerd.cgroups.v1.Metrics. The part of a controller that is
// not there is left out, but for that of the CPU, which is empty.
func (c *v1) Stats() (Figures, error) {
	message, err := c.figures()
	if err != nil {
		return Figures{}, err
	}
	if err := checkExists(c.dir); err != nil {
		return Figures{}, err
	}
	return metrics("v1", message), nil
}

func (c *v1) figures() ([]byte, error) {
	var message []byte
	for _, part := range []struct {
		controller string
		append     func(*reader, []byte) []byte
	}{
		{"hugetlb", (*reader).appendHugepages1},
		{"pids", (*reader).appendPids1},
		{"memory", (*reader).appendMemory1},
		{"blkio", (*reader).appendBlkio},
		{"rdma", (*reader).appendRdma1},
	} {
		r := &reader{dir: c.dirs[part.controller]} // where "max" is 0
		if !exists(r.dir) {
			continue
		}
		message = part.append(r, message)
		if r.err != nil {
			return nil, r.err
		}
	}
	usage, throttled := &reader{dir: c.dirs["cpuacct"]}, &reader{dir: c.dirs["cpu"]}
	message = protofields.AppendString(message, 3, cpu1(usage, throttled))
	if usage.err != nil {
		return nil, usage.err
	}
	return message, throttled.err
}

func (r *reader) appendHugepages1(message []byte) []byte {
	for _, size := range hugePageSizes() {
		files := "hugetlb." + size
		if !exists(r.dir + "/" + files + ".usage_in_bytes") {
			continue
		}
		entry := protofields.AppendNumber(nil, 1, r.number(files+".usage_in_bytes"))
		entry = protofields.AppendNumber(entry, 2, r.number(files+".max_usage_in_bytes"))
		entry = protofields.AppendNumber(entry, 3, r.number(files+".failcnt"))
		message = protofields.AppendString(message, 1, protofields.AppendString(entry, 4, size))
	}
	return message
}

func (r *reader) appendPids1(message []byte) []byte {
	if !exists(r.dir + "/pids.current") { // in the root
		return message
	}
	return protofields.AppendString(message, 2, r.pids())
}

// cpu1 encodes times in ns.
func cpu1(usage, throttled *reader) []byte {
	const tick = 1e9 / 100 // of cpuacct.stat, on every architecture
	u := protofields.AppendNumber(nil, 1, usage.number("cpuacct.usage"))
	u = protofields.AppendNumber(u, 2, usage.pair("cpuacct.stat", "system")*tick)
	u = protofields.AppendNumber(u, 3, usage.pair("cpuacct.stat", "user")*tick)
	const file = "cpuacct.usage_percpu"
	text, _ := usage.text(file)
	var each []uint64
	for word := range strings.FieldsSeq(text) {
		each = append(each, usage.parse(file, word))
	}
	u = protofields.AppendNumbers(u, 4, each)
	t, _ := throttled.pairs("cpu.stat", []field{{"nr_periods", 1}, {"nr_throttled", 2}, {"throttled_time", 3}})
	return protofields.AppendString(protofields.AppendString(nil, 1, u), 2, t)
}

// appendMemory1 encodes sizes in bytes.
func (r *reader) appendMemory1(message []byte) []byte {
	memory, ok := r.pairs("memory.stat", memoryStat1)
	if !ok {
		return message
	}
	for i, files := range []string{"memory", "memory.memsw", "memory.kmem", "memory.kmem.tcp"} {
		entry := protofields.AppendNumber(nil, 1, r.number(files+".limit_in_bytes"))
		entry = protofields.AppendNumber(entry, 2, r.number(files+".usage_in_bytes"))
		entry = protofields.AppendNumber(entry, 3, r.number(files+".max_usage_in_bytes"))
		entry = protofields.AppendNumber(entry, 4, r.number(files+".failcnt"))
		memory = protofields.AppendString(memory, protofields.Number(33+i), entry)
	}
	message = protofields.AppendString(message, 4, memory)
	if oom, ok := r.pairs("memory.oom_control", []field{{"oom_kill_disable", 1}, {"under_oom", 2}, {"oom_kill", 3}}); ok {
		message = protofields.AppendString(message, 9, oom)
	}
	return message
}

var memoryStat1 = []field{
	{"cache", 1}, {"rss", 2}, {"rss_huge", 3}, {"mapped_file", 4}, {"dirty", 5}, {"writeback", 6},
	{"pgpgin", 7}, {"pgpgout", 8}, {"pgfault", 9}, {"pgmajfault", 10},
	{"inactive_anon", 11}, {"active_anon", 12}, {"inactive_file", 13}, {"active_file", 14}, {"unevictable", 15},
	{"hierarchical_memory_limit", 16}, {"hierarchical_memsw_limit", 17},
	{"total_cache", 18}, {"total_rss", 19}, {"total_rss_huge", 20}, {"total_mapped_file", 21},
	{"total_dirty", 22}, {"total_writeback", 23}, {"total_pgpgin", 24}, {"total_pgpgout", 25},
	{"total_pgfault", 26}, {"total_pgmajfault", 27}, {"total_inactive_anon", 28}, {"total_active_anon", 29},
	{"total_inactive_file", 30}, {"total_active_file", 31}, {"total_unevictable", 32},
}

// appendBlkio encodes what the scheduler CFQ has counted (Linux before 5.0), for it
// knows more, or else what the throttling has.
func (r *reader) appendBlkio(message []byte) []byte {
	var blkio []byte
	for _, f := range []field{
		{"io_service_bytes_recursive", 1}, {"io_serviced_recursive", 2}, {"io_queued_recursive", 3},
		{"io_service_time_recursive", 4}, {"io_wait_time_recursive", 5}, {"io_merged_recursive", 6},
		{"time_recursive", 7}, {"sectors_recursive", 8},
	} {
		blkio = r.appendDevices(blkio, f)
	}
	if len(blkio) == 0 {
		for _, f := range []field{{"throttle.io_service_bytes", 1}, {"throttle.io_serviced", 2}} {
			blkio = r.appendDevices(blkio, f)
		}
	}
	return protofields.AppendString(message, 5, blkio)
}

// appendDevices encodes the lines of a file: "major:minor number", often with the
// operation in between.
func (r *reader) appendDevices(blkio []byte, f field) []byte {
	file := "blkio." + f.name
	text, _ := r.text(file)
	var partitions string
	if strings.Contains(text, ":") {
		partitions, _ = cgroupfs.Read("/proc", "partitions")
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == "Total" {
			continue
		}
		if len(words) != 2 && len(words) != 3 {
			r.fail(file, strconv.ErrSyntax)
			break
		}
		major, minor, _ := strings.Cut(words[0], ":")
		var op string
		if len(words) == 3 {
			op = words[1]
		}
		entry := protofields.AppendString(nil, 1, op)
		entry = protofields.AppendString(entry, 2, deviceName(partitions, major, minor))
		entry = protofields.AppendNumber(entry, 3, r.parse(file, major))
		entry = protofields.AppendNumber(entry, 4, r.parse(file, minor))
		entry = protofields.AppendNumber(entry, 5, r.parse(file, words[len(words)-1]))
		blkio = protofields.AppendString(blkio, f.number, entry)
	}
	return blkio
}

// deviceName is the file of a block device by what /proc/partitions says; empty if
// that does not name it.
func deviceName(partitions, major, minor string) string {
	for line := range strings.Lines(partitions) {
		if words := strings.Fields(line); len(words) == 4 && words[0] == major && words[1] == minor {
			return "/dev/" + words[3]
		}
	}
	return ""
}

// appendRdma1 leaves all out if a device comes or goes meanwhile.
func (r *reader) appendRdma1(message []byte) []byte {
	if !exists(r.dir + "/rdma.current") { // in the root
		return message
	}
	current, limit := r.rdma("rdma.current"), r.rdma("rdma.max")
	if len(current) != len(limit) {
		return message
	}
	return protofields.AppendString(message, 6, rdmaStat(current, limit))
}

package cgroup

import (
	"math"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

// Stats encodes an io.containerd.cgroups.v2.Metrics. Without a controller its part is
// there, but empty.
func (c *v2) Stats() (Figures, error) {
	r := &reader{dir: c.dir, max: math.MaxUint64}
	message := protofields.AppendString(nil, 1, r.pids())
	message = protofields.AppendString(message, 2, r.cpu2())
	message = protofields.AppendString(message, 4, r.memory2())
	message = protofields.AppendString(message, 5, rdmaStat(r.rdma("rdma.current"), r.rdma("rdma.max")))
	message = protofields.AppendString(message, 6, r.io())
	for _, size := range hugePageSizes() {
		message = protofields.AppendString(message, 7, r.hugepages2(size))
	}
	if events, ok := r.pairs("memory.events", memoryEvents); ok {
		message = protofields.AppendString(message, 8, events)
	}
	if r.err != nil {
		return Figures{}, r.err
	}
	if err := checkExists(c.dir); err != nil {
		return Figures{}, err
	}
	return metrics("v2", message), nil
}

// cpu2 encodes times in µs.
func (r *reader) cpu2() []byte {
	message, ok := r.pairs("cpu.stat", []field{
		{"usage_usec", 1}, {"user_usec", 2}, {"system_usec", 3},
		{"nr_periods", 4}, {"nr_throttled", 5}, {"throttled_usec", 6},
		{"nr_bursts", 8}, {"burst_usec", 9},
	})
	if ok {
		message = r.appendPressure(message, 7, "cpu.pressure")
	}
	return message
}

func (r *reader) appendPressure(message []byte, n protofields.Number, file string) []byte {
	if pressure, ok := r.pressure(file); ok {
		message = protofields.AppendString(message, n, pressure)
	}
	return message
}

// memory2 encodes sizes in bytes.
func (r *reader) memory2() []byte {
	message, ok := r.pairs("memory.stat", memoryStat2)
	if !ok {
		return nil
	}
	for _, f := range []field{
		{"memory.current", 32}, {"memory.max", 33}, {"memory.swap.current", 34}, {"memory.swap.max", 35},
		{"memory.peak", 36}, {"memory.swap.peak", 37},
	} {
		message = protofields.AppendNumber(message, f.number, r.number(f.name))
	}
	return r.appendPressure(message, 38, "memory.pressure")
}

var memoryStat2 = []field{
	{"anon", 1}, {"file", 2}, {"kernel_stack", 3}, {"slab", 4}, {"sock", 5}, {"shmem", 6},
	{"file_mapped", 7}, {"file_dirty", 8}, {"file_writeback", 9}, {"anon_thp", 10},
	{"inactive_anon", 11}, {"active_anon", 12}, {"inactive_file", 13}, {"active_file", 14}, {"unevictable", 15},
	{"slab_reclaimable", 16}, {"slab_unreclaimable", 17}, {"pgfault", 18}, {"pgmajfault", 19},
	{"workingset_refault", 20}, {"workingset_activate", 21}, {"workingset_nodereclaim", 22},
	{"pgrefill", 23}, {"pgscan", 24}, {"pgsteal", 25}, {"pgactivate", 26}, {"pgdeactivate", 27},
	{"pglazyfree", 28}, {"pglazyfreed", 29}, {"thp_fault_alloc", 30}, {"thp_collapse_alloc", 31},
}

var memoryEvents = []field{{"low", 1}, {"high", 2}, {"max", 3}, {"oom", 4}, {"oom_kill", 5}, {"oom_group_kill", 6}}

// io encodes what was read and written, in bytes and operations, by device.
func (r *reader) io() []byte {
	const file = "io.stat"
	var message []byte
	text, _ := r.text(file)
	for line := range strings.Lines(text) {
		device, words, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		major, minor, numbered := strings.Cut(device, ":")
		if !ok || !numbered {
			continue
		}
		entry := protofields.AppendNumber(nil, 1, r.parse(file, major))
		entry = protofields.AppendNumber(entry, 2, r.parse(file, minor))
		for word := range strings.FieldsSeq(words) {
			name, value, _ := strings.Cut(word, "=")
			for i, known := range []string{"rbytes", "wbytes", "rios", "wios"} {
				if name == known {
					entry = protofields.AppendNumber(entry, protofields.Number(3+i), r.parse(file, value))
				}
			}
		}
		message = protofields.AppendString(message, 1, entry)
	}
	return r.appendPressure(message, 2, "io.pressure")
}

func (r *reader) hugepages2(size string) []byte {
	files := "hugetlb." + size
	message := protofields.AppendNumber(nil, 1, r.number(files+".current"))
	message = protofields.AppendNumber(message, 2, r.number(files+".max"))
	message = protofields.AppendString(message, 3, size)
	return protofields.AppendNumber(message, 4, r.pair(files+".events", "max"))
}

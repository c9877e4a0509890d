package cgroup

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// oomKills reads how often the kernel has killed for want of memory from
// memory.oom_control or memory.events.
func oomKills(file string) (uint64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.ParseUint(strings.TrimSpace(count), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s counts no kills", file) // Linux before 4.13
}

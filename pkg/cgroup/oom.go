package cgroup

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// watch calls f whenever there is something to be read from a file, size bytes at
// most, until ctx ends, f returns false or the file ends. It closes the file.
func watch(ctx context.Context, events *os.File, size int, f func() (more bool)) {
	defer events.Close()
	defer context.AfterFunc(ctx, func() { events.Close() })()
	buf := make([]byte, size)
	for {
		if _, err := events.Read(buf); err != nil || ctx.Err() != nil || !f() {
			return
		}
	}
}

// oomKills reads how often the kernel has killed for want of memory from
// memory.oom_control or memory.events.
func oomKills(dir, file string) (uint64, error) {
	text, err := cgroupfs.Read(dir, file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.ParseUint(strings.TrimSpace(count), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s/%s counts no kills", dir, file) // Linux before 4.13
}

package runner

import (
	"fmt"
	"math"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
)

// Where a server runs instances of the guest, its own memory is more than margin: that
// of connections, and the buffers that the kernel has for them and for pipes.
const (
	// serverMargin in bytes is kept free at least.
	serverMargin = 12 << 20
	// serverShare is the share of the limit that is.
	serverShare = 4
	// memoryPerConnection in bytes is what one may take of the reserve's halves, of which
	// Go's heap has one and the kernel the other. A program that has ended leaves an answer
	// that its client may not read: buffers and a header of many small fields, 100 KiB
	// which become twice as many before Go collects them, and what a pipe (64 KiB) and a
	// unix socket (208 KiB) hold.
	memoryPerConnection = 256 << 10
	// leastConnections and mostConnections are open at a time; others wait in the kernel.
	leastConnections, mostConnections = 16, 4096
	// descriptorsPerConnection are itself and the pipe of such an answer.
	descriptorsPerConnection = 2
	// descriptorsPerInstance are pipes and standard error.
	descriptorsPerInstance = 5
	// otherDescriptors are those that a guest opens, and ours.
	otherDescriptors = 32
)

func serverReserve(limit int64) int64 { return max(serverMargin, limit/serverShare) }

// budgetInstances is budgetMemory for the memories of instances of which several run at
// a time. The image stays what it is: each has a copy.
func budgetInstances(limit int64, outline *wasmbin.Module, u usage) (*linmem.Allocator, error) {
	if u.image != nil {
		if err := u.image.Protect(); err != nil {
			return nil, err
		}
		u.image = nil // whose data stays, besides all memories
	}
	u.tidyHeap()
	if limit <= 0 {
		return linmem.Unlimited(), nil
	}
	used, reserve := u.used(), serverReserve(limit)
	budget := max(limit-used-reserve, 0)
	least := int64(min(outline.MemoryPages*wasmbin.PageSize, math.MaxInt64))
	if least > budget {
		return nil, fmt.Errorf("the module's memory starts with %s, but the memory limit of %s leaves %s for all requests: raise the limit", mebi(least), mebi(limit), mebi(budget))
	}
	debug.SetMemoryLimit(goMemory() + reserve/2)
	return linmem.Limited(budget), nil
}

// connections is how many clients a server has at a time, as far as memory and
// descriptors go.
func connections(limit int64, workers, preopens int) (int, error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("ask how many files may be open: %w", err)
	}
	needed := uint64(otherDescriptors + workers*(descriptorsPerInstance+preopens))
	n := affordable(limit, files.Cur-min(files.Cur, needed))
	if n < leastConnections {
		least := needed + leastConnections*descriptorsPerConnection
		return 0, fmt.Errorf("%d files may be open, which is too few for %d requests at a time: raise the limit (nofile) to %d, or let fewer run", files.Cur, workers, least)
	}
	return n, nil
}

// affordable is how many connections memory and so many descriptors are enough for.
func affordable(limit int64, descriptors uint64) int {
	n := int64(mostConnections)
	if limit > 0 {
		n = min(n, max(leastConnections, serverReserve(limit)/2/memoryPerConnection))
	}
	return int(min(uint64(n), descriptors/descriptorsPerConnection))
}

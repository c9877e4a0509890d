package runner

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
)

// The memory limit of the container covers this process as a whole: the engine,
// the generated code, and the guest's linear memory, which gets the rest.
const (
	// margin is kept free in bytes, for what the engine allocates while the
	// guest runs and what the kernel accounts to the container: page tables,
	// sockets, files. It grows with the limit.
	margin = 4 << 20
	// marginShare is the least share of the limit that is kept free.
	marginShare = 32
	// codeExpansion is how much larger generated code is than the module's, at
	// most, in measurements of a dozen programs.
	codeExpansion = 5
	// smallHeap is a Go heap in bytes of which not much can be garbage.
	smallHeap = 16 << 20
)

// setCompileLimits makes the garbage collector work harder while compiling
// instead of letting the container run out of memory.
func setCompileLimits(limit int64) {
	if limit > 0 {
		debug.SetMemoryLimit(limit / 2)
	}
}

// usage is what is known of the memory that a loaded module takes.
type usage struct {
	// image is the guest's memory, if it has its data already.
	image *linmem.Image
	// statm is what the kernel counts.
	statm *statm
	// code is about the size of machine code in memory of this process's own,
	// in bytes.
	code int64
}

// budgetMemory returns the allocator of the guest's memory. It fails if the
// limit cannot hold even what the memory has at the start.
func budgetMemory(limit int64, outline *wasmbin.Module, u usage) (*linmem.Allocator, error) {
	u.tidyHeap()
	if limit <= 0 {
		return u.allocator(linmem.Unlimited()), nil
	}
	used := u.used()
	reserve := max(margin, limit/marginShare)
	budget := max(limit-used-reserve, 0)
	least := int64(min(outline.MemoryPages*wasmbin.PageSize, math.MaxInt64))
	if least > budget {
		return nil, fmt.Errorf("the module's memory starts with %s, but the memory limit of %s leaves %s for it: raise the limit", mebi(least), mebi(limit), mebi(budget))
	}
	// The Go heap has a part of the reserve to grow; beyond, it collects garbage.
	debug.SetMemoryLimit(goMemory() + reserve/2)
	return u.allocator(linmem.Limited(budget)), nil
}

func (u usage) allocator(a *linmem.Allocator) *linmem.Allocator {
	if u.image != nil {
		a.Use(u.image)
	}
	return a
}

// used returns the bytes that this process takes of the container's limit, apart
// from the guest's memory. Code that is shared is a file's, and not counted.
func (u usage) used() int64 {
	anonymous, ok := u.statm.anonymous()
	if !ok {
		return goMemory() + u.code
	}
	if u.image != nil {
		anonymous -= u.image.Filled()
	}
	return max(anonymous, 0)
}

// tidyHeap gives the heap back to the kernel as far as it is not needed any more.
// That takes milliseconds, and loading code from the cache leaves little behind.
func (u usage) tidyHeap() {
	if u.used()-u.code > smallHeap {
		debug.FreeOSMemory()
	}
}

// goMemory returns what the Go runtime holds, in bytes.
func goMemory() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.Sys - stats.HeapReleased)
}

func mebi(bytes int64) string {
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}

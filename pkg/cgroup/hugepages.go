package cgroup

import (
	"os"
	"strconv"
	"strings"
	"sync"
)

// hugePageSizes of this host, as the files of cgroups are called after them.
var hugePageSizes = sync.OnceValue(func() []string {
	entries, _ := os.ReadDir("/sys/kernel/mm/hugepages") // not there without huge pages
	var sizes []string
	for _, e := range entries {
		if size := pageSize(e.Name()); size != "" {
			sizes = append(sizes, size)
		}
	}
	return sizes
})

// pageSize is "2MB" for "hugepages-2048kB", and empty for anything else.
func pageSize(name string) string {
	text, prefixed := strings.CutPrefix(name, "hugepages-")
	text, suffixed := strings.CutSuffix(text, "kB")
	size, err := strconv.ParseUint(text, 10, 64)
	switch {
	case !prefixed || !suffixed || err != nil:
		return ""
	case size >= 1<<20:
		return strconv.FormatUint(size>>20, 10) + "GB"
	case size >= 1<<10:
		return strconv.FormatUint(size>>10, 10) + "MB"
	}
	return text + "KB"
}

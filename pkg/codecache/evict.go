package codecache

import (
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

// file is a regular file in an entry's place.
type file struct {
	name    string
	size    int64
	created time.Time
	used    time.Time
}

// files lists the entries, damaged ones included, and what else is there: junk
// is in an entry's place without being a file, the rest has no key for a name.
func (d *dir) files() (list []file, junk, rest []string, err error) {
	all, err := names(d.entries)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, name := range all {
		var st unix.Stat_t
		if unix.Fstatat(d.entries, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // gone
		}
		_, err := entry.ParseDigest(name)
		switch {
		case err != nil:
			rest = append(rest, name)
		case st.Mode&unix.S_IFMT != unix.S_IFREG:
			junk = append(junk, name)
		default:
			list = append(list, file{
				name: name, size: st.Size, created: time.Unix(st.Mtim.Unix()), used: time.Unix(st.Atim.Unix()),
			})
		}
	}
	return list, junk, rest, nil
}

// evict removes the entries that were not used for the longest time, until the
// sizes of the files add up to maxSize bytes. It spares those in use and keep,
// and takes away what writers who are gone have left. Evictions at the same time
// choose the same entries.
func (d *dir) evict(maxSize int64, keep string) (removed []file) {
	list, _, rest, err := d.files()
	if err != nil {
		return nil
	}
	for _, name := range rest {
		if strings.HasPrefix(name, temporary) {
			_, _ = d.clean(name)
		}
	}
	var sum int64
	now := time.Now()
	for i := range list {
		sum += list[i].size
		list[i].used = notInFuture(list[i].used, now)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].used.Before(list[j].used) })
	for _, f := range list {
		if sum <= maxSize {
			break
		}
		if f.name == keep {
			continue
		}
		if gone, err := d.dropUnused(f.name); err == nil && gone {
			sum -= f.size
			removed = append(removed, f)
		}
	}
	return removed
}

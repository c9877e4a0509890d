package codecache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

const (
	// mostHints bounds the number of files whose digests are remembered.
	mostHints = 4096
	// settleTime is how long a file must have been unchanged for its digest to be
	// remembered: for as long as the clock of a file system may stand still, a
	// change does not show.
	settleTime = 2 * time.Second
	// hashBuffer in bytes.
	hashBuffer = 128 << 10
)

// errChanged is the error of a module that is not what was hashed any more.
var errChanged = errors.New("the file changed while it was being read: start the container when it has been written")

// identity is what is known of a file without reading it. As long as it is the
// same, the content very likely is; nothing relies on that alone.
type identity struct {
	// name stands for everything below and for the inode.
	name    string
	size    int64
	changed time.Time
}

func identify(m Module) (identity, error) {
	var st unix.Statx_t
	var fs unix.Statfs_t
	fd := int(m.File.Fd())
	const mask = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, mask, &st); err != nil {
		return identity{}, fmt.Errorf("%s: %w", m.Name, os.NewSyscallError("statx", err))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return identity{}, fmt.Errorf("%s is not a regular file", m.Name)
	}
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return identity{}, fmt.Errorf("%s: %w", m.Name, os.NewSyscallError("fstatfs", err))
	}
	major, minor := st.Dev_major, st.Dev_minor
	if fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
		// Each container's root file system is a device of its own, with the
		// inodes of the layers below.
		major, minor = 0, 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%d %d %d %v %v %v", major, minor, st.Ino, st.Size,
		instant(st.Mtime), instant(st.Ctime), instant(st.Btime)))
	return identity{name: entry.Digest(sum).String(), size: int64(st.Size), changed: instant(st.Ctime)}, nil
}

func instant(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)).UTC() }

// check finds out whether the module still is what was identified.
func (id identity) check(m Module) error {
	now, err := identify(m)
	if err == nil && now != id {
		err = fmt.Errorf("%s: %w", m.Name, errChanged)
	}
	return err
}

// isSettled tells whether a change from now on would change the identity.
func (id identity) isSettled(now time.Time, after time.Duration) bool {
	return now.Sub(id.changed) > after
}

// digest returns the one that is given with the module, the one that is
// remembered for the file, or that of its content.
func (c *Cache) digest(d *dir, m Module, id identity) (entry.Digest, error) {
	if m.Digest != nil {
		return *m.Digest, nil
	}
	if digest, ok := d.hint(id); ok {
		return digest, nil
	}
	return c.hash(d, m, id)
}

// rehash forgets what is remembered for the file.
func (c *Cache) rehash(m Module) (digest entry.Digest, err error) {
	d := c.tryDir()
	defer d.close()
	for range mostAttempts {
		id, idErr := identify(m)
		if idErr != nil {
			return digest, idErr
		}
		if err := d.removeHint(id.name); err != nil {
			c.warn(err)
		}
		if digest, err = c.hash(d, m, id); !errors.Is(err, errChanged) {
			break
		}
	}
	return digest, err
}

// hash reads the file, and remembers the result if the file is not new.
func (c *Cache) hash(d *dir, m Module, id identity) (entry.Digest, error) {
	begin := time.Now()
	sum := sha256.New()
	// One byte more than there should be: a file that grows all the time ends.
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, io.NewSectionReader(m.File, 0, id.size+1), make([]byte, hashBuffer))
	if err != nil {
		return entry.Digest{}, fmt.Errorf("%s: %w", m.Name, err)
	}
	if n != id.size {
		return entry.Digest{}, fmt.Errorf("%s: %w", m.Name, errChanged)
	}
	if err := id.check(m); err != nil {
		return entry.Digest{}, err
	}
	digest := entry.Digest(sum.Sum(nil))
	if id.isSettled(begin, c.settleTime) {
		d.remember(id, digest)
	}
	return digest, nil
}

// hint returns the digest that is remembered for a file.
func (d *dir) hint(id identity) (digest entry.Digest, ok bool) {
	if d == nil {
		return digest, false
	}
	var target [2*len(digest) + 1]byte
	n, err := unix.Readlinkat(d.digests, id.name, target[:])
	if err != nil {
		return digest, false
	}
	digest, err = entry.ParseDigest(string(target[:n]))
	return digest, err == nil
}

// remember is best effort: what fails costs only time.
func (d *dir) remember(id identity, digest entry.Digest) {
	if d == nil {
		return
	}
	err := unix.Symlinkat(digest.String(), d.digests, id.name)
	if errors.Is(err, unix.EEXIST) && d.removeHint(id.name) == nil {
		err = unix.Symlinkat(digest.String(), d.digests, id.name)
	}
	if err == nil {
		d.boundHints(mostHints)
	}
}

// removeHint removes what is remembered, whatever is in its place.
func (d *dir) removeHint(name string) error {
	if d == nil {
		return nil
	}
	err := unix.Unlinkat(d.digests, name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = cause(os.RemoveAll(fmt.Sprintf("/proc/self/fd/%d/%s", d.digests, name)))
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("forget a digest in %s: %w", d.path, err)
	}
	return nil
}

// boundHints removes the oldest until there is room for many more.
func (d *dir) boundHints(most int) {
	list, err := names(d.digests)
	if err != nil || len(list) <= most {
		return
	}
	now := time.Now()
	made := make(map[string]time.Time, len(list))
	for _, name := range list {
		var st unix.Stat_t
		if unix.Fstatat(d.digests, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			made[name] = notInFuture(time.Unix(st.Mtim.Unix()), now)
		}
	}
	sort.Slice(list, func(i, j int) bool { return made[list[i]].Before(made[list[j]]) })
	for _, name := range list[:len(list)-most*3/4] {
		_ = d.removeHint(name)
	}
}

// notInFuture makes a time that a clock has left there the oldest of all: nobody
// knows when it really was, and it must not be the newest for years.
func notInFuture(t, now time.Time) time.Time {
	if t.After(now.Add(time.Minute)) {
		return time.Time{}
	}
	return t
}

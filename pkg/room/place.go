package room

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// kind is what something is mounted on.
type kind int

const (
	directory kind = iota + 1
	file
)

func (k kind) String() string {
	if k == directory {
		return "directory"
	}
	return "file"
}

// maxLinks is how many symbolic links Linux follows in one path.
const maxLinks = 40

// place returns a handle of a path in the room, which it makes if it is not there,
// also at the end of a symbolic link that leads nowhere, as runc does. Whatever an
// image, or another container that writes to the same volume, does with the files
// meanwhile: it is inside the root.
func (b *builder) place(name string, k kind) (int, error) {
	// Mostly it is there.
	fd, err := b.openInside(name, 0)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	done, todo, links := "/", strings.Split(name, "/"), 0
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		switch next {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		link, err := b.step(done, next, k == directory || len(todo) > 0)
		if err != nil {
			return -1, err
		}
		if link == "" {
			done = path.Join(done, next)
			continue
		}
		if links++; links > maxLinks {
			return -1, unix.ELOOP
		}
		if strings.HasPrefix(link, "/") {
			done = "/"
		}
		todo = append(strings.Split(link, "/"), todo...)
	}
	return b.openInside(done, 0)
}

// step makes dir/name if it is not there. dir has no symbolic links in it. The
// result is the target of the symbolic link that it may be.
func (b *builder) step(dir, name string, isDir bool) (link string, err error) {
	parent, err := b.openInside(dir, unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	defer unix.Close(parent)
	if isDir {
		err = unix.Mkdirat(parent, name, 0o755)
	} else {
		err = makeFile(parent, name)
	}
	if !errors.Is(err, unix.EEXIST) {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := retry(func() (int, error) { return unix.Readlinkat(parent, name, buf) })
	if errors.Is(err, unix.EINVAL) { // no link
		return "", nil
	}
	return string(buf[:max(n, 0)]), err
}

func makeFile(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o755)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// openInside opens a handle of a path in the room, all links followed.
func (b *builder) openInside(name string, flags uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC | flags,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for tries := 0; ; tries++ {
		fd, err := unix.Openat2(b.root, name, &how)
		// EAGAIN: something was renamed meanwhile, and ".." cannot be trusted.
		if (errors.Is(err, unix.EAGAIN) && tries < 100) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return -1, fmt.Errorf("open %q: %w", name, err)
		}
		return fd, nil
	}
}

// modeOf tells the mode of a directory that is there.
func (b *builder) modeOf(name string) (uint32, bool) {
	fd, err := b.openInside(name, unix.O_DIRECTORY)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, false
	}
	return st.Mode & 0o7777, true
}

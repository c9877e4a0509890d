package room

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// devices are what every container has, without those that give access to a
// terminal.
var devices = []device{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}}

// terminal is the controlling one of whoever opens it.
var terminal = device{"tty", 5, 0}

// links are those that every container has in /dev. They dangle, as the room has no
// /proc: to the guest each is its own descriptor all the same (see pkg/wasi/preview1).
// Without them a file would be made in /dev for whoever writes to them.
var links = [][2]string{{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}}

type device struct {
	name         string
	major, minor uint32
}

// devDir is where they are.
const devDir = "/dev"

// isDev tells whether a mount is the one that the devices are put into.
func (b *builder) isDev(m *Mount) bool {
	return b.room.Devices && path.Join("/", m.Target) == devDir
}

// fillDev makes the devices, and the links, in the tmpfs at /dev.
func (b *builder) fillDev() error {
	if !b.room.Devices {
		return nil
	}
	dir, err := b.openInside(devDir, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	umask := unix.Umask(0)
	defer unix.Umask(umask)
	wanted := devices
	if b.room.Terminal {
		wanted = append(wanted[:len(wanted):len(wanted)], terminal)
	}
	for _, d := range wanted {
		err := unix.Mknodat(dir, d.name, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor)))
		if err != nil && !errors.Is(err, unix.EEXIST) { // bound there by the configuration
			return fmt.Errorf("make the device %s/%s: %w", devDir, d.name, err)
		}
	}
	for _, l := range links {
		err := unix.Symlinkat(l[1], dir, l[0])
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("make the link %s/%s: %w", devDir, l[0], err)
		}
	}
	return nil
}

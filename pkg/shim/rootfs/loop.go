package rootfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// attachAttempts bounds how often a free device is asked for: others may take it
// before we do.
const attachAttempts = 100

// attach makes a block device of an image, which lasts until nobody uses it any
// more: neither the file that is returned nor a mount (Linux 5.8).
func attach(image string, o *options) (*os.File, error) {
	flags, mode := uint32(unix.LO_FLAGS_AUTOCLEAR), os.O_RDWR
	if o.flags&unix.MS_RDONLY != 0 {
		flags, mode = flags|unix.LO_FLAGS_READ_ONLY, os.O_RDONLY
	}
	if o.direct {
		flags |= unix.LO_FLAGS_DIRECT_IO
	}
	back, err := os.OpenFile(image, mode, 0)
	if err != nil {
		return nil, fmt.Errorf("could not open backing file: %w", err)
	}
	defer back.Close()
	config := unix.LoopConfig{Fd: uint32(back.Fd()), Info: unix.LoopInfo64{Flags: flags}}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], image)
	for attempt := range attachAttempts {
		device, err := attachFree(&config, mode)
		if !errors.Is(err, unix.EBUSY) {
			return device, err
		}
		time.Sleep(rand.N(time.Duration(attempt+1) * 10 * time.Millisecond))
	}
	return nil, errors.New("timeout creating new loopback device")
}

// attachFree fails with EBUSY if somebody else was faster.
func attachFree(config *unix.LoopConfig, mode int) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("could not open loop control: %w", err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, fmt.Errorf("could not get free loop device: %w", err)
	}
	device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), mode, 0)
	if err != nil {
		return nil, fmt.Errorf("could not open loop device: %w", err)
	}
	if err := unix.IoctlLoopConfigure(int(device.Fd()), config); err != nil {
		device.Close()
		return nil, fmt.Errorf("failed to configure loop device: %s: %w", device.Name(), err)
	}
	return device, nil
}

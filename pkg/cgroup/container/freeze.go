package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// state is what a freezer is asked for, in the words of cgroup v1.
type state string

const (
	frozen state = "FROZEN"
	thawed state = "THAWED"
)

// freezePatience is how long it may take until no member runs any more. One that is
// in a system call that cannot be interrupted may keep it longer.
const freezePatience = 10 * time.Second

// Freeze stops all members. If they have not stopped when ctx ends, they go on.
func (c *Cgroup) Freeze(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, freezePatience, fmt.Errorf("some process still runs after %v", freezePatience))
	defer cancel()
	wait := c.waitFrozenV1
	if c.layout.V2 {
		wait = c.waitFrozenV2
	}
	err := c.freezer(frozen)
	if err == nil {
		err = wait(ctx)
	}
	if err != nil {
		_ = c.freezer(thawed)
		return fmt.Errorf("freeze the cgroup %s: %w", c.path, err)
	}
	return nil
}

// Thaw lets the members go on.
func (c *Cgroup) Thaw(context.Context) error {
	if err := c.freezer(thawed); err != nil {
		return fmt.Errorf("thaw the cgroup %s: %w", c.path, err)
	}
	return nil
}

// freezer asks for a state.
func (c *Cgroup) freezer(s state) error {
	if c.layout.V2 {
		return cgroupfs.Write(c.layout.Unified+c.path, "cgroup.freeze", map[state]string{frozen: "1", thawed: "0"}[s])
	}
	dir := c.layout.Dir("freezer", c.path)
	if dir == "" {
		return errors.New("this host has no cgroup hierarchy of freezer")
	}
	return cgroupfs.Write(dir, "freezer.state", string(s))
}

// frozenV2 tells whether new members would be frozen, by the cgroup or one above it.
func (c *Cgroup) frozenV2() bool {
	if !c.layout.V2 {
		return false
	}
	dir := c.layout.Unified + c.path
	if asked, err := cgroupfs.Read(dir, "cgroup.freeze"); err == nil && asked == "1" {
		return true
	}
	events, err := cgroupfs.Read(dir, "cgroup.events")
	return err == nil && strings.Contains(events, "frozen 1")
}

// waitFrozenV1 looks again and again, for the kernel tells nobody. A process that was
// added or made in the wrong moment keeps v1 from ever being frozen, until all are
// thawed and it is tried anew.
func (c *Cgroup) waitFrozenV1(ctx context.Context) error {
	const each, anew = time.Millisecond, 50
	dir := c.layout.Dir("freezer", c.path)
	for i := 1; ; i++ {
		now, err := cgroupfs.Read(dir, "freezer.state")
		if err != nil || now == string(frozen) {
			return err
		}
		if i%anew == 0 {
			if err := c.freezer(thawed); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(each, time.Duration(i)*10*time.Microsecond)):
		}
		if err := c.freezer(frozen); err != nil {
			return err
		}
	}
}

// waitFrozenV2 sleeps until the kernel says that cgroup.events has changed.
func (c *Cgroup) waitFrozenV2(ctx context.Context) error {
	events, err := os.Open(c.layout.Unified + c.path + "/cgroup.events")
	if err != nil {
		return err
	}
	defer events.Close()
	wake, stop, err := os.Pipe() // for the end of ctx
	if err != nil {
		return err
	}
	defer wake.Close()
	defer stop.Close()
	defer context.AfterFunc(ctx, func() { stop.Close() })()
	fds := []unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}, {Fd: int32(wake.Fd()), Events: unix.POLLIN}}
	var text [512]byte
	for {
		n, err := events.ReadAt(text[:], 0)
		if n == 0 {
			return err
		}
		if strings.Contains(string(text[:n]), "frozen 1") {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
	}
}

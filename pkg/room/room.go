package room

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Room is what the process is told. Paths of the host are absolute.
type Room struct {
	// Join tells that the room is there already: a handle of its root comes with
	// the order to enter it. The fields about files are of no meaning then.
	Join bool

	// Root is the root file system on the host.
	Root     string
	ReadOnly bool
	// Mounts below the root, in their order.
	Mounts []Mount
	// Devices tells to fill /dev, which one of Mounts has made.
	Devices bool
	// Masked paths have nothing to read, ReadOnlyPaths nothing to write. Those
	// that are not there are left out.
	Masked        []string
	ReadOnlyPaths []string

	// Hooks tells to wait, when everything is mounted, until those of the host have
	// run.
	Hooks bool

	// Hostname and Domainname are for the UTS namespace; empty is to leave it.
	Hostname   string
	Domainname string
	// Loopback tells to switch on the network device lo.
	Loopback bool
	// Sysctls by their path below /proc/sys.
	Sysctls map[string]string

	// OOMScore is the process's oom_score_adj; nil is to leave it.
	OOMScore *int
	Limits   []Limit
	User     User
	// Terminal tells that standard input is one, which becomes the controlling
	// one.
	Terminal bool
	// Cwd is made if it is not there.
	Cwd string
	// AppArmor is the profile that all threads are to be under when the guest begins. Enter
	// does nothing about it: who makes a room does what profiles for guests forbid.
	AppArmor string
}

// User is who the guest is to the file system.
type User struct {
	UID    uint32
	GID    uint32
	Groups []uint32
	Umask  uint32
}

// Limit is a resource limit by the number that Linux gives it.
type Limit struct {
	Resource int
	Name     string
	Soft     uint64
	Hard     uint64
}

// Enter makes the room and goes in, with all threads of the process, which must
// be in its namespaces and its cgroup. root is for a room to join. keep are
// capabilities that the user has, whoever it is; what else is left of privileges
// is for the caller to drop, next. prepared is called for a room with hooks.
//
// What the kernel forbids for want of CAP_SYS_RESOURCE, and nobody would give up
// a container for, is a warning.
func (r *Room) Enter(root *os.File, keep []string, prepared func() error) (warnings []string, err error) {
	warning := func(err error) error {
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			warnings = append(warnings, err.Error())
			return nil
		}
		return err
	}
	if err := warning(r.setOOMScore()); err != nil {
		return nil, err
	}
	for _, step := range []func() error{r.setNames, r.setSysctls, r.startLoopback, func() error { return r.enterRoot(root, prepared) }} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	for _, l := range r.Limits {
		if err := warning(l.set()); err != nil {
			return nil, err
		}
	}
	return warnings, r.become(keep)
}

func (r *Room) enterRoot(root *os.File, prepared func() error) error {
	if r.Join {
		if root == nil {
			return errors.New("there is no root to join")
		}
		return join(root)
	}
	return r.build(prepared)
}

func (r *Room) setOOMScore() error {
	if r.OOMScore == nil {
		return nil
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(*r.OOMScore)), 0); err != nil {
		return fmt.Errorf("process.oomScoreAdj %d: %w", *r.OOMScore, err)
	}
	return nil
}

func (r *Room) setNames() error {
	if r.Hostname != "" {
		if err := unix.Sethostname([]byte(r.Hostname)); err != nil {
			return fmt.Errorf("hostname %q: %w", r.Hostname, err)
		}
	}
	if r.Domainname != "" {
		if err := unix.Setdomainname([]byte(r.Domainname)); err != nil {
			return fmt.Errorf("domainname %q: %w", r.Domainname, err)
		}
	}
	return nil
}

func (r *Room) setSysctls() error {
	for name, value := range r.Sysctls {
		if err := SetSysctl(name, value); err != nil {
			return fmt.Errorf("linux.sysctl %s=%q: %w", name, value, err)
		}
	}
	return nil
}

// SetSysctl writes to the file name below /proc/sys, of this process's
// namespaces: which those are is decided by who opens it, not by where /proc was
// mounted.
func SetSysctl(name, value string) error {
	root, err := os.OpenRoot("/proc/sys")
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

// startLoopback switches on what every network namespace begins with.
func (r *Room) startLoopback() error {
	if !r.Loopback {
		return nil
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the network device lo: %w", err)
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("switch on the network device lo: %w", err)
	}
	return nil
}

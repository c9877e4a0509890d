package room

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestMagicLinks(t *testing.T) {
	t.Parallel()
	var uname unix.Utsname
	if _, _, errno := unix.Syscall6(unix.SYS_LISTMOUNT, 0, 0, 0, 0, 0, 0); errno == unix.ENOSYS {
		must(t, unix.Uname(&uname))
		t.Skipf("Linux %s cannot list mounts", uname.Release[:])
	}
	source := tree(t, files{"sub/": ""})
	volume := Mount{Source: source, Target: "/data"}
	all := volume
	all.Recursive = true
	for name, c := range map[string]struct {
		mounts []Mount
		below  string // the type of what is mounted in the volume
		want   string
	}{
		"nothing":             {[]Mount{dev, {Target: "/run"}}, "tmpfs", "false"},
		"a volume":            {[]Mount{dev, all}, "tmpfs", "false"},
		"a procfs, not bound": {[]Mount{dev, volume}, "proc", "false"},
		"a procfs":            {[]Mount{dev, all}, "proc", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := enter(t, order{Room: &Room{Root: tree(t, nil), Devices: true, Mounts: c.mounts}, Before: [][2]string{{c.below, source + "/sub"}}})
			must(t, err)
			d.gives(c.want, "magic")
		})
	}
	if !HasMagicLinks() {
		t.Error("there is /proc here")
	}
}

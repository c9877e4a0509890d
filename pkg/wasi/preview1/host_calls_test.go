package preview1

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/sys"
	"golang.org/x/sys/unix"
)

func TestArgumentsAndEnvironment(t *testing.T) {
	t.Parallel()
	args := []string{"guest", "", "two words", "ü"}
	// What has no name is not the guest's.
	r := newRig(t, Config{Args: args, Env: []string{"A=1", "=x", "none", "EMPTY=", "B=c=d"}})
	last := uint64(r.module.Memory().Size())
	for name, want := range map[string][]string{"args": args, "environ": {"A=1", "EMPTY=", "B=c=d"}} {
		all := strings.Join(want, "\x00") + "\x00"
		count, size := r.room(4), r.room(4)
		r.expect(ESUCCESS, name+"_sizes_get", count, size)
		if int(r.u32(count)) != len(want) || int(r.u32(size)) != len(all) {
			t.Errorf("%s: %d of %d bytes", name, r.u32(count), r.u32(size))
		}
		pointers, data := r.room(4*len(want)), r.room(len(all))
		r.expect(ESUCCESS, name+"_get", pointers, data)
		if got := string(r.read(data, len(all))); got != all {
			t.Errorf("%s: %q", name, got)
		}
		at := uint32(data)
		for i, s := range want {
			if got := r.u32(pointers + uint64(4*i)); got != at {
				t.Errorf("%s: %q is at %d, want %d", name, s, got, at)
			}
			at += uint32(len(s)) + 1
		}
		r.expect(EFAULT, name+"_sizes_get", outside, size)
		r.expect(EFAULT, name+"_sizes_get", count, last-3)
		r.expect(EFAULT, name+"_get", outside, data)
		r.expect(EFAULT, name+"_get", last-uint64(4*len(want))+1, data)
		r.expect(EFAULT, name+"_get", pointers, last-uint64(len(all))+1)
		r.expect(EFAULT, name+"_get", pointers, 0xffffffff)
		r.expect(ESUCCESS, name+"_get", pointers, last-uint64(len(all)))
		r.expect(ESUCCESS, name+"_get", pointers, pointers) // over itself
	}
}

// Clocks through a guest are the kernel's.
func TestGuestsReadClocks(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	at, last := r.room(8), uint64(r.module.Memory().Size())
	for id, linux := range clockIDs {
		if linux != unix.CLOCK_THREAD_CPUTIME_ID { // of another thread, maybe
			before := kernelTime(t, linux) - int64(time.Millisecond)
			r.expect(ESUCCESS, "clock_time_get", uint64(id), 0, at)
			if now, after := int64(binary.LittleEndian.Uint64(r.read(at, 8))), kernelTime(t, linux); now < before || now > after {
				t.Errorf("clock %d: %d, not from %d to %d", id, now, before, after)
			}
		}
		var resolution unix.Timespec
		must(t, unix.ClockGetres(linux, &resolution))
		r.expect(ESUCCESS, "clock_res_get", uint64(id), at)
		if got := binary.LittleEndian.Uint64(r.read(at, 8)); got != uint64(resolution.Nano()) {
			t.Errorf("clock %d: resolution %d, want %d", id, got, resolution.Nano())
		}
		for _, bad := range []uint64{outside + 14, last - 7} {
			r.expect(EFAULT, "clock_time_get", uint64(id), 0, bad)
			r.expect(EFAULT, "clock_res_get", uint64(id), bad)
		}
	}
	for _, id := range []uint64{uint64(len(clockIDs)), 1 << 31, 0xffffffff} {
		r.expect(EINVAL, "clock_time_get", id, 0, at)
		r.expect(EINVAL, "clock_res_get", id, at)
	}
}

func TestRandomBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	const size = 100_000 // more than the kernel gives at once
	at, last := r.room(size+8), uint64(r.module.Memory().Size())
	r.expect(ESUCCESS, "random_get", at, size)
	data := r.read(at, size+8)
	if zeros := len(data) - len(slices.DeleteFunc(slices.Clone(data[:size]), func(b byte) bool { return b == 0 })); zeros < 200 || zeros > 600 {
		t.Errorf("%d of %d bytes are 0", zeros, size)
	}
	if binary.LittleEndian.Uint64(data[size:]) != 0 {
		t.Error("there are more than were asked for")
	}
	r.expect(ESUCCESS, "random_get", outside, 0)
	r.expect(ESUCCESS, "random_get", last-1, 1)
	r.expect(EFAULT, "random_get", last-1, 2)
	r.expect(EFAULT, "random_get", outside, 0xffffffff)
	r.expect(EFAULT, "random_get", 0, 0xffffffff)
}

func TestYield(t *testing.T) {
	t.Parallel()
	newRig(t, Config{}).expect(ESUCCESS, "sched_yield")
}

// What Linux does by default for a signal that a process raises decides what is raised
// here.
func TestRaisedSignals(t *testing.T) {
	t.Parallel()
	ignored := []unix.Signal{0, unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH}
	stopping := []unix.Signal{unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU}
	for n, sig := range signals {
		r := newRig(t, Config{})
		switch {
		case slices.Contains(ignored, sig):
			r.expect(ESUCCESS, "proc_raise", uint64(n))
		case slices.Contains(stopping, sig):
			r.expect(ENOTSUP, "proc_raise", uint64(n))
		default:
			_, err := r.try(ModuleName, "proc_raise", uint64(n))
			if raised := new(Raised); !errors.As(err, &raised) || raised.Signal != sig {
				t.Errorf("signal %d: %v", n, err)
			}
		}
	}
	r := newRig(t, Config{})
	for _, n := range []uint64{uint64(len(signals)), 255, 1 << 31, 0xffffffff} {
		r.expect(EINVAL, "proc_raise", n)
	}
}

func TestExit(t *testing.T) {
	t.Parallel()
	for _, module := range []string{ModuleName, UnstableName} {
		for _, status := range []uint64{0, 1, 255, 256, 0xffffffff} {
			_, err := newRig(t, Config{}).try(module, "proc_exit", status)
			if exit := new(sys.ExitError); !errors.As(err, &exit) || exit.ExitCode() != uint32(status) {
				t.Errorf("%s, status %d: %v", module, status, err)
			}
		}
	}
}

// TestRefusalsOfTheKernel are errors that come through: files of the kernel give them
// wherever this runs.
func TestRefusalsOfTheKernel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	populate(t, dir, "file")
	r := newRig(t, Config{
		Stdio:    [3]int{openFile(t, "/dev/full"), openFile(t, "/proc/self/comm"), openFile(t, os.DevNull)},
		Preopens: []Preopen{{FD: openDirectory(t, dir), Name: "/"}},
	})
	const full, noRoom = 0, 1
	iovs, n := r.texts("a", "b"), r.room(4)
	for count := range uint64(2) {
		r.expect(ENOSPC, "fd_write", full, iovs, count+1, n)
		r.expect(ENOSPC, "fd_pwrite", full, iovs, count+1, 0, n)
	}
	r.expect(ENOTSUP, "fd_allocate", noRoom, 0, 1)
	both := r.open(asked{path: "file", base: FDRead | FDWrite | FDSeek})
	r.expect(ENOTCAPABLE, "fd_allocate", both, 0, 1)
	r.expect(ENOTCAPABLE, "fd_filestat_set_size", both, 1)
	r.expect(ESUCCESS, "fd_fdstat_set_rights", both, uint64(FDWrite|FDRead), 0)
	r.expect(ENOTCAPABLE, "fd_pwrite", both, iovs, 1, 0, n)
	r.expect(ESUCCESS, "fd_fdstat_set_rights", both, uint64(FDWrite), 0)
	r.expect(ENOTCAPABLE, "fd_read", both, iovs, 1, n)
}

package preview1

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openFile returns a descriptor that a System is handed over.
func openFile(t testing.TB, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_CREAT, 0o600)
	must(t, err)
	return fd
}

// pipe returns both ends; the second is closed at the end of the test.
func pipe(t testing.TB, ours int) (fds [2]int) {
	t.Helper()
	must(t, unix.Pipe2(fds[:], unix.O_CLOEXEC))
	t.Cleanup(func() { unix.Close(fds[ours]) })
	return fds
}

func subscribeClock(userdata uint64, clock uint32, timeout time.Duration, flags uint16) []byte {
	s := make([]byte, subscriptionSize)
	binary.LittleEndian.PutUint64(s, userdata)
	binary.LittleEndian.PutUint32(s[16:], clock)
	binary.LittleEndian.PutUint64(s[24:], uint64(timeout))
	binary.LittleEndian.PutUint16(s[40:], flags)
	return s
}

func subscribe(userdata uint64, kind byte, fd uint32) []byte {
	s := make([]byte, subscriptionSize)
	binary.LittleEndian.PutUint64(s, userdata)
	s[8] = kind
	binary.LittleEndian.PutUint32(s[16:], fd)
	return s
}

// poll waits for subscriptions and returns the events.
func (r *rig) poll(subscriptions ...[]byte) (events []event) {
	r.t.Helper()
	var in []byte
	for _, s := range subscriptions {
		in = append(in, s...)
	}
	at, out, count := r.put(in), r.room(len(subscriptions)*eventSize), r.room(4)
	r.expect(ESUCCESS, "poll_oneoff", at, out, uint64(len(subscriptions)), count)
	for i := range uint64(r.u32(count)) {
		e := r.read(out+i*eventSize, eventSize)
		events = append(events, event{
			userdata: binary.LittleEndian.Uint64(e), errno: Errno(binary.LittleEndian.Uint16(e[8:])), kind: e[10],
			bytes: binary.LittleEndian.Uint64(e[16:]), flags: binary.LittleEndian.Uint16(e[24:]),
		})
		seen.Add("poll_oneoff", int(events[i].errno))
	}
	return events
}

// happens compares events.
func (r *rig) happens(want []event, subscriptions ...[]byte) {
	r.t.Helper()
	got := r.poll(subscriptions...)
	if len(got) != len(want) {
		r.t.Errorf("events are %+v, want %+v", got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			r.t.Errorf("event %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestWhatCannotBeSubscribedToAtAll(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	in, out, count := r.put(subscribeClock(1, clockMonotonic, 0, 0)), r.room(eventSize), r.room(4)
	r.expect(EINVAL, "poll_oneoff", in, out, 0, count)
	r.expect(EINVAL, "poll_oneoff", in, out, maxSubscriptions+1, count)
	r.expect(EINVAL, "poll_oneoff", in, out, math.MaxUint32, count)
	r.expect(EFAULT, "poll_oneoff", outside, out, 1, count)
	r.expect(EFAULT, "poll_oneoff", in, outside, 1, count)
	r.expect(EFAULT, "poll_oneoff", in, out, 1, outside)
	r.expect(EFAULT, "poll_oneoff", in, out, maxSubscriptions, count)
	r.expect(ESUCCESS, "poll_oneoff", in, out, 1, count)
	r.expect(ESUCCESS, "poll_oneoff", in, in, 1, count) // over itself
}

func TestWhatIsWrongWithOneSubscriptionIsItsEvents(t *testing.T) {
	t.Parallel()
	reader, writer := pipe(t, 1), pipe(t, 0)
	r := newRig(t, Config{Stdio: [3]int{reader[0], writer[1], openFile(t, os.DevNull)}})
	directory, err := unix.Open("/", unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	must(t, r.system.Add(Preopen{FD: directory, Name: "/"}))
	r.happens([]event{
		{userdata: 1, errno: EINVAL, kind: eventClock},
		{userdata: 2, errno: ENOTSUP, kind: eventClock},
		{userdata: 3, errno: ENOTSUP, kind: eventClock},
		{userdata: 4, errno: EINVAL, kind: eventClock},
		{userdata: 5, errno: EINVAL, kind: 3},
		{userdata: 6, errno: EBADF, kind: eventRead},
		{userdata: 7, errno: EBADF, kind: eventWrite},
		{userdata: 8, errno: ENOTCAPABLE, kind: eventWrite},
		{userdata: 9, errno: ENOTCAPABLE, kind: eventRead},
		{userdata: 10, errno: ENOTCAPABLE, kind: eventRead},
		{userdata: 12, kind: eventWrite, bytes: 1},
	},
		subscribeClock(1, 4, 0, 0),
		subscribeClock(2, clockProcessCPU, 0, 0),
		subscribeClock(3, clockThreadCPU, 0, 0),
		subscribeClock(4, clockMonotonic, 0, 2),
		subscribe(5, 3, 0),
		subscribe(6, eventRead, 17),
		subscribe(7, eventWrite, math.MaxUint32),
		subscribe(8, eventWrite, 0), // the reading end
		subscribe(9, eventRead, 1),  // the writing end
		subscribe(10, eventRead, 3), // a directory
		subscribe(11, eventRead, 0), // nothing to read
		subscribe(12, eventWrite, 1),
	)
	r.expect(ESUCCESS, "fd_fdstat_set_rights", 0, uint64(FDRead), 0)
	r.happens([]event{{userdata: 1, errno: ENOTCAPABLE, kind: eventRead}}, subscribe(1, eventRead, 0))
}

func TestClocksPassWhenTheyShould(t *testing.T) {
	t.Parallel()
	const wait = 60 * time.Millisecond
	for _, tc := range []struct {
		name  string
		clock uint32
		flags uint16
		begin int64
	}{
		{"relative realtime", clockRealtime, 0, 0},
		{"relative monotonic", clockMonotonic, 0, 0},
		{"absolute realtime", clockRealtime, absolute, kernelTime(t, unix.CLOCK_REALTIME)},
		{"absolute monotonic", clockMonotonic, absolute, kernelTime(t, unix.CLOCK_MONOTONIC)},
	} {
		r := newRig(t, Config{})
		id, _ := clockID(tc.clock)
		timeout := wait
		if tc.flags == absolute {
			timeout += time.Duration(kernelTime(t, id))
		}
		before := time.Now()
		r.happens([]event{{userdata: 7}}, subscribeClock(7, tc.clock, timeout, tc.flags), subscribeClock(8, tc.clock, math.MaxInt64, tc.flags))
		if passed := time.Since(before); passed < wait-time.Millisecond || passed > time.Minute {
			t.Errorf("%s: %v have passed, want %v", tc.name, passed, wait)
		}
		// What is past is at once, also together with others.
		before = time.Now()
		r.happens([]event{{userdata: 1}, {userdata: 3}},
			subscribeClock(1, tc.clock, 0, tc.flags), subscribeClock(2, tc.clock, -1, 0), subscribeClock(3, tc.clock, 1, absolute))
		if passed := time.Since(before); passed > time.Minute {
			t.Errorf("%s: the past took %v", tc.name, passed)
		}
	}
}

func TestCoarseClocksPassByMilliseconds(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Clock: time.Millisecond})
	for range 20 {
		r.happens([]event{{userdata: 1}}, subscribeClock(1, clockMonotonic, 300*time.Microsecond, 0))
		if now := time.Duration(kernelTime(t, unix.CLOCK_MONOTONIC)); now%time.Millisecond > 900*time.Microsecond {
			t.Logf("the clock passed at %v", now) // late, on a busy machine
		}
	}
}

func TestDescriptorsAreToldAtOnceNextToClocks(t *testing.T) {
	t.Parallel()
	reader, writer := pipe(t, 1), pipe(t, 0)
	r := newRig(t, Config{Stdio: [3]int{reader[0], writer[1], openFile(t, os.DevNull)}})
	hour := subscribeClock(3, clockMonotonic, time.Hour, 0)
	unix.Write(reader[1], []byte("hello"))
	before := time.Now()
	r.happens([]event{{userdata: 1, kind: eventRead, bytes: 5}, {userdata: 2, kind: eventWrite, bytes: 1}},
		hour, subscribe(1, eventRead, 0), subscribe(2, eventWrite, 1))
	// One descriptor twice, which is once for the kernel.
	r.happens([]event{{userdata: 1, kind: eventRead, bytes: 5}, {userdata: 2, kind: eventRead, bytes: 5}},
		subscribe(1, eventRead, 0), subscribe(2, eventRead, 0), hour)
	if passed := time.Since(before); passed > time.Minute {
		t.Errorf("%v have passed", passed)
	}
	// Later.
	var buffer [8]byte
	unix.Read(int(r.system.files.slots[0].fd), buffer[:])
	time.AfterFunc(30*time.Millisecond, func() { unix.Write(reader[1], []byte("x")) })
	r.happens([]event{{userdata: 1, kind: eventRead, bytes: 1}}, hour, subscribe(1, eventRead, 0))
}

func TestTheOtherEndOfAPipe(t *testing.T) {
	t.Parallel()
	reader, writer := pipe(t, 1), pipe(t, 0)
	r := newRig(t, Config{Stdio: [3]int{reader[0], writer[1], openFile(t, os.DevNull)}})
	unix.Write(reader[1], []byte("end"))
	must(t, unix.Dup3(r.system.files.slots[2].fd, reader[1], unix.O_CLOEXEC))
	must(t, unix.Dup3(r.system.files.slots[2].fd, writer[0], unix.O_CLOEXEC))
	r.happens([]event{{userdata: 1, kind: eventRead, bytes: 3, flags: hangup}, {userdata: 2, kind: eventWrite, bytes: 1, flags: hangup}},
		subscribe(1, eventRead, 0), subscribe(2, eventWrite, 1))
	var buffer [8]byte
	unix.Read(r.system.files.slots[0].fd, buffer[:])
	r.happens([]event{{userdata: 1, kind: eventRead, flags: hangup}}, subscribe(1, eventRead, 0))
}

func TestFilesAreAlwaysReady(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte("0123456789"), 0o600))
	file := openFile(t, path)
	r := newRig(t, Config{Stdio: [3]int{file, openFile(t, os.DevNull), openFile(t, "/dev/zero")}})
	for _, tc := range []struct{ at, left int64 }{{0, 10}, {4, 6}, {10, 0}, {12, 0}} {
		_, err := unix.Seek(file, tc.at, unix.SEEK_SET)
		must(t, err)
		r.happens([]event{{userdata: 1, kind: eventRead, bytes: uint64(tc.left)}, {userdata: 2, kind: eventWrite, bytes: 1}},
			subscribe(1, eventRead, 0), subscribe(2, eventWrite, 0))
	}
	must(t, unix.Ftruncate(file, 5<<30))
	r.happens([]event{{userdata: 1, kind: eventRead, bytes: 5<<30 - 12}}, subscribe(1, eventRead, 0))
	r.happens([]event{{userdata: 2, kind: eventRead, bytes: 1}}, subscribe(2, eventRead, 2))
}

func TestSignalsDoNotShortenAWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				unix.Kill(unix.Getpid(), unix.SIGURG)
			}
		}
	}()
	before := time.Now()
	r.happens([]event{{userdata: 1}}, subscribeClock(1, clockMonotonic, 100*time.Millisecond, 0))
	if passed := time.Since(before); passed < 100*time.Millisecond {
		t.Errorf("%v have passed", passed)
	}
	close(done)
	<-ended
}

func TestWaitingTakesNoTime(t *testing.T) {
	reader := pipe(t, 1)
	r := newRig(t, Config{Stdio: [3]int{reader[0], openFile(t, os.DevNull), openFile(t, os.DevNull)}})
	for try := 1; ; try++ { // others in this process may have had something to do
		before := cpuTime(t)
		r.happens([]event{{userdata: 1}}, subscribeClock(1, clockMonotonic, 500*time.Millisecond, 0), subscribe(2, eventRead, 0))
		used := cpuTime(t) - before
		if used <= 50*time.Millisecond {
			return
		}
		if try == 3 {
			t.Fatalf("%v of CPU while it waited half a second", used)
		}
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	return time.Duration(kernelTime(t, unix.CLOCK_PROCESS_CPUTIME_ID))
}

func TestManySubscriptionsOfFewDescriptors(t *testing.T) {
	t.Parallel()
	reader := pipe(t, 1)
	r := newRig(t, Config{Stdio: [3]int{reader[0], openFile(t, os.DevNull), openFile(t, os.DevNull)}})
	const many = 20000 // more than a process may have open
	subscriptions := make([][]byte, 0, many)
	for i := range uint64(many - 1) {
		subscriptions = append(subscriptions, subscribe(i, eventRead, 0))
	}
	subscriptions = append(subscriptions, subscribe(9, eventWrite, 1))
	if events := r.poll(subscriptions...); len(events) != 1 || events[0] != (event{userdata: 9, kind: eventWrite, bytes: 1}) {
		t.Errorf("events are %+v", events)
	}
	if n := len(r.system.poller.polled); n != 2 {
		t.Errorf("the kernel was asked for %d descriptors", n)
	}
}

func TestPollingAllocatesNothing(t *testing.T) {
	reader := pipe(t, 1)
	r := newRig(t, Config{Stdio: [3]int{reader[0], openFile(t, os.DevNull), openFile(t, os.DevNull)}})
	var in []byte
	for i := range uint64(8) {
		in = append(in, subscribe(i, eventRead, 0)...)
	}
	in = append(in, subscribeClock(9, clockMonotonic, time.Hour, 0)...)
	in = append(in, subscribe(10, eventWrite, 1)...)
	args := []uint64{r.put(in), r.room(10 * eventSize), 10, r.room(4)}
	m := memory{Memory: r.module.Memory()}
	if n := testing.AllocsPerRun(100, func() { pollOneoff(r.system, m, args) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

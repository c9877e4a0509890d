package stdio

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// patience for what takes microseconds.
const patience = 10 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mkfifo(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, unix.Mkfifo(path, 0o600))
	return path
}

// forking is held while a child is on its way to its program.
var forking sync.Mutex

func alone(f func()) {
	forking.Lock()
	defer forking.Unlock()
	f()
}

// open opens streams, which must not take time, whoever is at the other ends.
func open(t *testing.T, c Config) *Streams {
	t.Helper()
	c.Alone = alone
	type result struct {
		s   *Streams
		err error
	}
	done := make(chan result, 1)
	go func() {
		s, err := Open(c)
		done <- result{s, err}
	}()
	select {
	case r := <-done:
		must(t, r.err)
		t.Cleanup(r.s.Close)
		return r.s
	case <-time.After(patience):
		t.Fatal("Open blocks")
		return nil
	}
}

func TestArgumentsOfALoggerAreInTheOrderOfTheURI(t *testing.T) {
	t.Parallel()
	for query, want := range map[string][]string{
		"":                  nil,
		"id=1":              {"id", "1"},
		"b=2&a=1&b=3":       {"b", "2", "a", "1", "b", "3"},
		"flag":              {"flag"},
		"empty=":            {"empty", ""},
		"a=x%20y+z&b=%26":   {"a", "x y z", "b", "&"},
		"a=1=2":             {"a", "1=2"},
		"&&=v&a":            {"a"},
		"bad=%zz&%zz=1":     {"bad", "%zz", "%zz", "1"},
		"--driver=x&--dir=": {"--driver", "x", "--dir", ""},
	} {
		if got := queryArgs(query); !slices.Equal(got, want) {
			t.Errorf("%q gives %q, want %q", query, got, want)
		}
	}
}

func TestOpenDoesNotWaitForTheOtherEnds(t *testing.T) {
	t.Parallel()
	for _, terminal := range []bool{false, true} {
		c := Config{Stdin: mkfifo(t, "in"), Stdout: mkfifo(t, "out"), Stderr: mkfifo(t, "err"), Terminal: terminal}
		open(t, c)
		c.Stdin, c.Stdout, c.Stderr = "", "fifo://"+c.Stdout, ""
		open(t, c)
	}
}

func TestWriterWithoutReaderWaitsInsteadOfDying(t *testing.T) {
	t.Parallel()
	path := mkfifo(t, "out")
	s := open(t, Config{Stdout: path})
	_, out, _ := s.Files()
	reader, err := os.OpenFile(path, os.O_RDONLY, 0)
	must(t, err)
	write(t, out, "first ")
	must(t, reader.Close())
	write(t, out, "second") // no EPIPE
	s.ProcessStarted()
	reader, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	defer reader.Close()
	data, err := io.ReadAll(reader) // nobody has it open for writing
	if err != nil || string(data) != "first second" {
		t.Errorf("read %q, %v", data, err)
	}
}

func TestOnlyCloseStdinEndsStdin(t *testing.T) {
	t.Parallel()
	path := mkfifo(t, "in")
	s := open(t, Config{Stdin: path})
	in, _, _ := s.Files()
	ours, err := dup(in) // the process's
	must(t, err)
	defer ours.Close()
	s.ProcessStarted()
	must(t, s.Feed())
	for _, text := range []string{"one", "two"} {
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(t, err)
		write(t, w, text)
		must(t, w.Close())
		if got := readSome(t, ours); got != text {
			t.Errorf("read %q, want %q", got, text)
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := ours.Read(make([]byte, 1))
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatalf("stdin ended by itself: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.CloseStdin()
	s.CloseStdin() // as often as they like
	select {
	case err := <-ended:
		if !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("stdin does not end")
	}
}

func TestInputWaitsForTheStartOfTheProcess(t *testing.T) {
	t.Parallel()
	for _, terminal := range []bool{false, true} {
		path := mkfifo(t, "in")
		s := open(t, Config{Stdin: path, Terminal: terminal})
		if f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0); !errors.Is(err, unix.ENXIO) {
			t.Errorf("a client can write already: %v, %v", f, err)
		}
		s.Close()
	}
}

func TestCloseStdinBeforeTheStartIsRemembered(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Stdin: mkfifo(t, "in")})
	in, _, _ := s.Files()
	s.CloseStdin()
	must(t, s.Feed())
	must(t, in.SetReadDeadline(time.Now().Add(patience)))
	if _, err := in.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestProcessGetsBlockingStreams(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Stdin: mkfifo(t, "in"), Stdout: mkfifo(t, "out"), Stderr: mkfifo(t, "err")})
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	cmd := exec.Command("sh", "-c", "cat /proc/$$/fdinfo/[012] >&3; :")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Files()
	cmd.ExtraFiles = []*os.File{w}
	ended, err := start(cmd)
	must(t, err)
	<-ended
	must(t, w.Close())
	info, err := io.ReadAll(r)
	must(t, err)
	found := 0
	for line := range strings.Lines(string(info)) {
		if octal, ok := strings.CutPrefix(line, "flags:"); ok {
			found++
			flags, err := strconv.ParseInt(strings.TrimSpace(octal), 8, 64)
			if err != nil || flags&unix.O_NONBLOCK != 0 {
				t.Errorf("a stream has the flags %s", octal)
			}
		}
	}
	if found != 3 {
		t.Errorf("information about %d streams: %s", found, info)
	}
}

func TestFilesAreAppendedTo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	must(t, os.WriteFile(plain, []byte("before "), 0o600))
	for _, target := range []string{plain, "file://" + plain} {
		s := open(t, Config{Stdout: target, Stderr: target})
		_, out, errs := s.Files()
		write(t, out, "out ")
		write(t, errs, "err ")
		s.ProcessStarted()
		s.Ended()
	}
	requireContent(t, plain, "before out err out err ")
	// Only file:// makes the file, and its directory.
	fresh := filepath.Join(dir, "new", "dir", "log")
	s := open(t, Config{Stdout: "file://" + fresh})
	_, out, _ := s.Files()
	write(t, out, "x")
	s.Close()
	requireContent(t, fresh, "x")
}

func TestNoStreamsAreNull(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	in, out, errs := s.Files()
	for _, f := range []*os.File{in, out, errs} {
		if f.Name() != os.DevNull {
			t.Errorf("got %s", f.Name())
		}
	}
	if err := s.Resize(80, 24); err != nil {
		t.Error(err)
	}
	s.CloseStdin()
	s.Ended()
}

func TestWrongTargetsAreErrorsThatNameThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	fifo := mkfifo(t, "out")
	for name, tc := range map[string]struct {
		config Config
		text   string
		is     error
	}{
		"scheme":           {Config{Stdout: "ftp:///x"}, `open stdout "ftp:///x": unknown STDIO scheme`, nil},
		"scheme of stderr": {Config{Stdout: fifo, Stderr: "ftp:///x"}, `open stderr "ftp:///x": unknown STDIO scheme`, nil},
		"no URI":           {Config{Stdout: "://"}, `open stdout "://"`, nil},
		"missing stdin":    {Config{Stdin: missing}, "open stdin", fs.ErrNotExist},
		"missing stdout":   {Config{Stdout: missing}, "open stdout", fs.ErrNotExist},
		"missing stderr":   {Config{Stdout: fifo, Stderr: missing}, "open stderr", fs.ErrNotExist},
		"directory":        {Config{Stdout: dir}, "open stdout", unix.EISDIR},
		"logger of stderr": {Config{Stdout: fifo, Stderr: "binary:///x"}, "a logging program is named by stdout", nil},
		"terminal's":       {Config{Terminal: true, Stdout: missing}, "open stdout", fs.ErrNotExist},
		"terminal's stdin": {Config{Terminal: true, Stdout: fifo, Stdin: missing}, "open stdin", fs.ErrNotExist},
		"terminal, scheme": {Config{Terminal: true, Stdout: "ftp:///x"}, "unknown STDIO scheme", nil},
		"missing logger":   {Config{Stdout: "binary:///no/such/logger", Start: start}, "/no/such/logger", fs.ErrNotExist},
	} {
		s, err := Open(tc.config)
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		if !strings.Contains(err.Error(), tc.text) || tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Not parallel: it counts the descriptors of the process.
func TestNothingStaysOpen(t *testing.T) {
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	logger := "binary:///bin/sh?-c&" + "exec%205%3E%26-%3B%20cat%20%3C%263%20%3E/dev/null"
	round := func() {
		for _, c := range []Config{
			{Stdin: in, Stdout: out, Stderr: out}, {}, {Stdin: in, Stdout: out, Terminal: true},
			{Stdout: out, Stderr: "ftp:///x"}, {Stdin: in, Stdout: "/missing"}, {Terminal: true, Stdin: in, Stdout: "/missing"},
			{Stdout: logger, Start: start}, {Stdout: logger, Stderr: logger, Start: start}, {Stdout: logger, Terminal: true, Start: start},
		} {
			s, err := Open(c)
			if err != nil {
				continue
			}
			s.ProcessStarted()
			if !c.Terminal { // it has no terminal yet
				if err := s.Feed(); err != nil {
					t.Error(err)
				}
			}
			s.Close()
		}
	}
	round()
	before := descriptors(t)
	round()
	if after := descriptors(t); len(after) > len(before) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

func TestLoggerThatHasNoStartFails(t *testing.T) {
	t.Parallel()
	failed := errors.New("no more processes")
	_, err := Open(Config{Stdout: "binary:///bin/true", Start: func(*exec.Cmd) (<-chan struct{}, error) { return nil, failed }})
	if !errors.Is(err, failed) {
		t.Error(err)
	}
}

func TestTerminalGetsTheSizeAskedForBefore(t *testing.T) {
	t.Parallel()
	out := mkfifo(t, "out")
	s := open(t, Config{Terminal: true, Stdout: out})
	must(t, s.Resize(100, 30))
	master, slave, err := console.NewPty()
	must(t, err)
	tty, err := os.OpenFile(slave, os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	defer tty.Close()
	must(t, s.Attach(master))
	requireSize(t, tty, 100, 30)
	must(t, s.Resize(70000, 20)) // more than a terminal can have
	requireSize(t, tty, 65535, 20)
}

func TestTerminalIsDrainedAfterItsProcess(t *testing.T) {
	t.Parallel()
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	s := open(t, Config{Terminal: true, Stdin: in, Stdout: out})
	reader, err := os.OpenFile(out, os.O_RDONLY, 0)
	must(t, err)
	defer reader.Close()
	master, slave, err := console.NewPty()
	must(t, err)
	tty, err := os.OpenFile(slave, os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	must(t, s.Attach(master))
	must(t, s.Feed())
	const text = "output of a process that ends\r\n"
	write(t, tty, strings.TrimSuffix(text, "\r\n")+"\n")
	must(t, tty.Close())
	s.Ended()
	data, err := io.ReadAll(reader)
	if err != nil || string(data) != text {
		t.Errorf("read %q, %v", data, err)
	}
}

func requireSize(t *testing.T, tty *os.File, width, height uint16) {
	t.Helper()
	size, err := unix.IoctlGetWinsize(int(tty.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col != width || size.Row != height {
		t.Errorf("size is %+v (%v), want %dx%d", size, err, width, height)
	}
}

func write(t *testing.T, f *os.File, text string) {
	t.Helper()
	_, err := f.WriteString(text)
	must(t, err)
}

func readSome(t *testing.T, f *os.File) string {
	t.Helper()
	buf := make([]byte, 100)
	n, err := f.Read(buf)
	must(t, err)
	return string(buf[:n])
}

func requireContent(t *testing.T, path, want string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || string(data) != want {
		t.Errorf("%s is %q (%v), want %q", path, data, err, want)
	}
}

// start is StartFunc without a reaper.
func start(c *exec.Cmd) (_ <-chan struct{}, err error) {
	alone(func() { err = c.Start() })
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Wait()
	}()
	return ended, nil
}

func descriptors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	var found []string
	for _, e := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		found = append(found, e.Name()+" "+target)
	}
	return found
}

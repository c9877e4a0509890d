package shim

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	tasktypes "github.com/containerd/containerd/api/types/task"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestStreamsOfEveryForm: init and an exec write to stdout and stderr.
func TestStreamsOfEveryForm(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		pod := d.container("pod", k.multi, "sleep").created()
		const bothLines = "to stdout\nto stderr\n"
		for name, tc := range map[string]struct {
			out, err string // in the bundle, or a URI with %s for it
			file     bool   // exists before
			wantOut  string
			wantErr  string
			outAt    string // file of stdout, in the bundle
			errAt    string
		}{
			"file":        {out: "file://%s/o", err: "file://%s/e", outAt: "o", errAt: "e", wantOut: "to stdout\n", wantErr: "to stderr\n"},
			"file twice":  {out: "file://%s/o", err: "file://%s/o", outAt: "o", errAt: "o", wantOut: bothLines, wantErr: bothLines},
			"file in dir": {out: "file://%s/new/dir/o", err: "", outAt: "new/dir/o", wantOut: "to stdout\n"},
			"path":        {out: "%s/o", err: "%s/e", file: true, outAt: "o", errAt: "e", wantOut: "before\nto stdout\n", wantErr: "before\nto stderr\n"},
			"path twice":  {out: "%s/o", err: "%s/o", file: true, outAt: "o", errAt: "o", wantOut: "before\n" + bothLines, wantErr: "before\n" + bothLines},
			"nothing":     {},
			"only stderr": {err: "file://%s/e", errAt: "e", wantErr: "to stderr\n"},
		} {
			t.Run(name, func(t *testing.T) {
				c := d.containerFor(t, strings.ReplaceAll(name, " ", "-"), k.multi, "both").joins(pod.id)
				at := func(s string) string { return strings.Replace(s, "%s", c.bundle, 1) }
				c.stdout, c.stderr = at(tc.out), at(tc.err)
				if tc.file {
					for _, f := range []string{tc.outAt, tc.errAt} {
						must(t, os.WriteFile(filepath.Join(c.bundle, f), []byte("before\n"), 0o600))
					}
				}
				c.ended()
				requireFile(t, c, tc.outAt, tc.wantOut)
				requireFile(t, c, tc.errAt, tc.wantErr)
			})
		}
	})
}

func requireFile(t *testing.T, c *container, name, want string) {
	t.Helper()
	if name == "" {
		return
	}
	got, err := os.ReadFile(filepath.Join(c.bundle, name))
	must(t, err)
	if string(got) != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

// TestOneFIFOForBoth: stdout and stderr arrive in the order of the writes, and
// the reader sees one end.
func TestOneFIFOForBoth(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "both")
		c.stdout = filepath.Join(c.bundle, "out")
		c.stderr = c.stdout
		out := c.readFIFO(c.stdout)
		c.ended()
		if got := out.all(t); got != "to stdout\nto stderr\n" {
			t.Errorf("got %q", got)
		}
	})
}

// TestOutputEndsWithTheProcess, not with Delete: client.Task.Delete waits for it.
func TestOutputEndsWithTheProcess(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep")
		out := c.withOutput()
		c.run()
		io, execOut := c.fifos("e")
		c.execRun("e", io, k.multi, "burst", "1")
		if n := len(execOut.stdout.all(t)); n != 1<<20 {
			t.Errorf("%d bytes came from the exec, want %d", n, 1<<20)
		}
		must(t, c.kill("", syscall.SIGKILL))
		if got := out.stdout.all(t); got != "sleeping\n" {
			t.Errorf("stdout is %q", got)
		}
		out.stderr.all(t)
	})
}

// TestStdin: all that is written arrives, a writer that leaves is no end of
// stdin, CloseIO is.
func TestStdin(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "cat")
		out := c.withOutput()
		c.stdin = c.stdinFIFO("init")
		c.run()
		writeFIFO(t, c.stdin, "one ")
		out.stdout.WaitFor(t, "one ")
		time.Sleep(100 * time.Millisecond) // an end of stdin would be seen by now
		c.requireStatus("", tasktypes.Status_RUNNING)

		data := make([]byte, 4<<20)
		random := rand.NewChaCha8([32]byte{})
		_, _ = random.Read(data)
		writeFIFO(t, c.stdin, string(data))
		must(t, c.closeStdin(""))
		if status := c.exitStatus(""); status != 0 {
			t.Errorf("exit status is %d", status)
		}
		got := strings.TrimPrefix(out.stdout.all(t), "one ")
		if sha256.Sum256([]byte(got)) != sha256.Sum256(data) {
			t.Errorf("%d bytes came back, not the %d that were sent", len(got), len(data))
		}
	})
}

func writeFIFO(t *testing.T, path, data string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = io.WriteString(f, data)
	must(t, err)
	must(t, f.Close())
}

// TestCloseIOBeforeStart is remembered, for an exec and for init.
func TestCloseIOBeforeStart(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "cat")
		c.stdin = c.stdinFIFO("init")
		c.created()
		io, out := c.fifos("e")
		io.stdin = c.stdinFIFO("e")
		// An exec keeps the order even if the client has written something.
		must(t, c.start(""))
		must(t, c.exec("e", io, k.multi, "cat"))
		must(t, c.closeStdin("e"))
		must(t, c.start("e"))
		if status := c.exitStatus("e"); status != 0 {
			t.Errorf("exit status of the exec is %d", status)
		}
		if got := out.stdout.all(t); got != "" {
			t.Errorf("stdout of the exec is %q", got)
		}
		c.requireStatus("", tasktypes.Status_RUNNING)

		c2 := d.container("c2", k.multi, "cat").joins("c")
		c2.stdin = c2.stdinFIFO("init")
		c2.created()
		must(t, c2.closeStdin(""))
		must(t, c2.start(""))
		if status := c2.exitStatus(""); status != 0 {
			t.Errorf("exit status is %d", status)
		}
	})
}

// TestStdinIsNothingByDefault: a guest that reads it finds its end.
func TestStdinIsNothingByDefault(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		if status := d.container("c", k.multi, "cat").run().exitStatus(""); status != 0 {
			t.Errorf("exit status is %d", status)
		}
	})
}

// TestReadersComeAndGo: without one the guest waits, and nothing is lost.
func TestReadersComeAndGo(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "burst", "1")
		c.stdout = filepath.Join(c.bundle, "out")
		must(t, syscall.Mkfifo(c.stdout, 0o600))
		c.run()
		var got strings.Builder
		for range 4 {
			f, err := os.Open(c.stdout)
			must(t, err)
			_, err = io.CopyN(&got, f, 128<<10)
			must(t, err)
			must(t, f.Close())
			c.requireStatus("", tasktypes.Status_RUNNING)
		}
		f, err := os.Open(c.stdout)
		must(t, err)
		defer f.Close()
		_, err = io.Copy(&got, f)
		must(t, err)
		if status := c.exitStatus(""); status != 0 {
			t.Errorf("exit status is %d", status)
		}
		for i, line := range strings.SplitAfter(strings.TrimSuffix(got.String(), "\n"), "\n") {
			if line = strings.TrimSuffix(line, "\n"); line != fmt.Sprintf("%063d", i) {
				t.Fatalf("line %d is %q", i, line)
			}
		}
		if got.Len() != 1<<20 {
			t.Errorf("%d bytes arrived, want %d", got.Len(), 1<<20)
		}
	})
}

// TestReaderAfterTheEnd: containerd and its clients open FIFOs in the background, and may not
// have come so far when a process has ended.
func TestReaderAfterTheEnd(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "both")
		io := c.unreadFIFOs("init")
		c.stdout, c.stderr = io.stdout, io.stderr
		c.ended()
		c.requireUnread(io)
		requireKind(t, "Delete", second(c.delete("")), ok)

		c = d.container("of-exec", k.multi, "sleep").run()
		for i := range 3 {
			id := fmt.Sprint("e", i)
			io := c.unreadFIFOs(id)
			c.execRun(id, io, k.multi, "both")
			if status := c.exitStatus(id); status != 0 {
				t.Errorf("exit status is %d", status)
			}
			c.requireUnread(io)
			requireKind(t, "Delete", second(c.delete(id)), ok)
		}
		io = c.unreadFIFOs("deleted")
		c.execRun("deleted", io, k.multi, "both")
		c.exitStatus("deleted")
		atOnce(t, "Delete without a reader", 10*time.Second, func() { requireKind(t, "Delete", second(c.delete("deleted")), ok) })
		must(t, c.kill("", syscall.SIGKILL))
		c.exitStatus("")
	})
}

// unreadFIFOs are output FIFOs that nobody reads yet.
func (c *container) unreadFIFOs(name string) stdio {
	c.t.Helper()
	io := stdio{stdout: filepath.Join(c.bundle, name+"-out"), stderr: filepath.Join(c.bundle, name+"-err")}
	for _, path := range []string{io.stdout, io.stderr} {
		must(c.t, syscall.Mkfifo(path, 0o600))
	}
	return io
}

// requireUnread reads what the guest's command "both" has written.
func (c *container) requireUnread(from stdio) {
	c.t.Helper()
	for path, want := range map[string]string{from.stdout: "to stdout\n", from.stderr: "to stderr\n"} {
		ended := make(chan struct{})
		var got []byte
		var err error
		go func() {
			defer close(ended)
			got, err = os.ReadFile(path) // waits for a writer, then for its end
		}()
		within(c.t, "end of "+path, ended)
		must(c.t, err)
		if string(got) != want {
			c.t.Errorf("%s has %q, want %q", path, got, want)
		}
	}
}

// loggers are shell scripts: stdout of the container is on descriptor 3, stderr
// on 4, and closing 5 says that the logger is ready.
const (
	goodLogger  = `exec 5>&-; echo "$CONTAINER_NAMESPACE $CONTAINER_ID $*" > "$1.args"; cat <&4 >> "$1.err" & cat <&3 >> "$1.out"; wait`
	earlyEnd    = `exec 5>&-; head -c 8 <&3 > "$1.out"; exit 1`
	neverReady  = `exec sleep 60`
	neverEnding = `exec 5>&-; cat <&3 > "$1.out"; exec sleep 60`
)

func (c *container) logger(text string) {
	c.t.Helper()
	path := script(c.t, c.bundle, "logger", text)
	c.stdout = "binary://" + path + "?" + filepath.Join(c.bundle, "log-of") + "&b=x%20y&a=1"
	c.stderr = c.stdout
}

// TestLogger: a logging program gets everything, its arguments in order, and
// may finish.
func TestLogger(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "burst", "1")
		c.logger(goodLogger)
		c.ended()
		_, err := c.delete("")
		must(t, err)
		requireFile(t, c, "log-of.args", d.ns+" c "+c.bundle+"/log-of b x y a 1\n")
		data, err := os.ReadFile(filepath.Join(c.bundle, "log-of.out"))
		must(t, err)
		if len(data) != 1<<20 {
			t.Errorf("%d bytes arrived, want %d", len(data), 1<<20)
		}
		both := d.container("both", k.multi, "both")
		both.logger(goodLogger)
		both.ended()
		_, err = both.delete("")
		must(t, err)
		requireFile(t, both, "log-of.out", "to stdout\n")
		requireFile(t, both, "log-of.err", "to stderr\n")
	})
}

// TestLoggerOfATerminal gets what the terminal shows.
func TestLoggerOfATerminal(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "both")
		c.terminal = true
		c.logger(goodLogger)
		c.stderr = ""
		c.ended()
		_, err := c.delete("")
		must(t, err)
		requireFile(t, c, "log-of.out", "to stdout\r\nto stderr\r\n")
	})
}

// TestLoggerThatDies does not take the guest with it.
func TestLoggerThatDies(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "tick")
		c.logger(earlyEnd)
		c.run()
		testenv.Eventually(t, "all that the logger takes", func() error {
			data, err := os.ReadFile(filepath.Join(c.bundle, "log-of.out"))
			if err == nil && string(data) != "tick 1\nt" {
				err = fmt.Errorf("it is %q", data)
			}
			return err
		})
		time.Sleep(500 * time.Millisecond) // the guest goes on writing
		c.requireStatus("", tasktypes.Status_RUNNING)
		must(t, c.kill("", syscall.SIGKILL))
		c.exitStatus("")
		atOnce(t, "Delete", 10*time.Second, func() { requireKind(t, "Delete", second(c.delete("")), ok) })
	})
}

// TestLoggerThatIsNeverReady makes Create fail, in time, and does not stay.
func TestLoggerThatIsNeverReady(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	c := d.container("c", multiWasm, "sleep")
	c.logger(neverReady)
	c.connect()
	atOnce(t, "Create", 25*time.Second, func() {
		_, err := c.create()
		if err == nil || !strings.Contains(err.Error(), "was not ready within") || !strings.Contains(err.Error(), c.bundle+"/logger") {
			t.Errorf("Create: %v", err)
		}
	})
	if got := d.events.of("c"); len(got) > 0 {
		t.Errorf("events %q", got)
	}
	testenv.Eventually(t, "end of the logger", func() error {
		for _, p := range d.processes() {
			if strings.Contains(p, "sleep") {
				return fmt.Errorf("%s", p)
			}
		}
		return nil
	})
}

// TestLoggerThatDoesNotEnd is ended by Delete, in time.
func TestLoggerThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	c := d.container("c", multiWasm, "both")
	c.logger(neverEnding)
	c.ended()
	atOnce(t, "Delete", 25*time.Second, func() { requireKind(t, "Delete", second(c.delete("")), ok) })
	requireFile(t, c, "log-of.out", "to stdout\n")
}

// TestUnreadTerminal: Delete does not wait for a reader for ever.
func TestUnreadTerminal(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, v3)
	c := d.container("c", multiWasm, "burst", "1")
	c.terminal = true
	c.stdout = filepath.Join(c.bundle, "out")
	must(t, syscall.Mkfifo(c.stdout, 0o600))
	c.run()
	time.Sleep(100 * time.Millisecond)
	c.requireStatus("", tasktypes.Status_RUNNING) // it waits, the shim does not
	must(t, c.kill("", syscall.SIGTERM))
	atOnce(t, "exit and Delete", 25*time.Second, func() {
		if status := c.exitStatus(""); status != 143 {
			t.Errorf("exit status is %d, want 143", status)
		}
		requireKind(t, "Delete", second(c.delete("")), ok)
	})
}

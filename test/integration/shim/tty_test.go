package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// withTerminal gives the container's init a terminal, and returns its screen
// and its keyboard.
func (c *container) withTerminal() (*stream, *os.File) {
	c.t.Helper()
	c.terminal = true
	c.stdin = c.stdinFIFO("init")
	c.stdout = filepath.Join(c.bundle, "screen")
	return c.readFIFO(c.stdout), c.keyboard(c.stdin)
}

func (c *container) keyboard(fifo string) *os.File {
	c.t.Helper()
	f, err := os.OpenFile(fifo, os.O_RDWR, 0) // there is no reader yet
	must(c.t, err)
	c.t.Cleanup(func() { f.Close() })
	return f
}

// TestSizeOfATerminal: before the start, while it runs, of init and of an exec.
func TestSizeOfATerminal(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		c := d.container("c", winsize)
		screen, _ := c.withTerminal()
		c.created()
		must(t, c.resize("", 101, 33))
		must(t, c.start(""))
		screen.WaitFor(t, "101x33")
		must(t, c.resize("", 90, 20))
		screen.WaitFor(t, "90x20")

		io := stdio{terminal: true, stdout: filepath.Join(c.bundle, "screen-e")}
		execScreen := c.readFIFO(io.stdout)
		must(t, c.exec("e", io, winsize))
		must(t, c.resize("e", 55, 12))
		must(t, c.start("e"))
		execScreen.WaitFor(t, "55x12")
		for i := range 100 { // a window that is being dragged
			must(t, c.resize("e", uint32(200+i), 44))
		}
		execScreen.WaitFor(t, "299x44")
		must(t, c.kill("", syscall.SIGKILL))
		c.exitStatus("")
		for _, id := range []string{"", "e"} {
			requireKind(t, "ResizePty after the end", c.resize(id, 1, 1), ok)
		}
	})
}

// TestOutputOfATerminalIsComplete however soon the process ends.
func TestOutputOfATerminalIsComplete(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "burst", "1")
		screen, _ := c.withTerminal()
		c.ended()
		lines := strings.Split(screen.all(t), "\r\n")
		if n := len(lines) - 1; n != 1<<14 || lines[n-1] != fmt.Sprintf("%063d", n-1) {
			t.Errorf("%d lines arrived, want %d; the last is %q", n, 1<<14, lines[n-1])
		}
	})
}

// TestKeyboard: what is typed arrives, is echoed, and ctrl-D ends stdin.
func TestKeyboard(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "cat")
		screen, keyboard := c.withTerminal()
		c.run()
		_, err := keyboard.WriteString("hello\n")
		must(t, err)
		testenv.Eventually(t, "echo and answer", func() error {
			if got := screen.String(); strings.Count(got, "hello\r\n") != 2 {
				return fmt.Errorf("the screen shows %q", got)
			}
			return nil
		})
		_, err = keyboard.WriteString("\x04")
		must(t, err)
		if status := c.exitStatus(""); status != 0 {
			t.Errorf("exit status is %d", status)
		}
		screen.all(t)
	})
}

// TestControlC ends a guest as it ends a program, whatever it is doing.
func TestControlC(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		pod := d.container("pod", multiWasm, "sleep").created()
		for guest, says := range map[string]string{"spin": "spinning", "sleep": "sleeping", "cat": ""} {
			t.Run(guest, func(t *testing.T) {
				c := d.containerFor(t, guest, multiWasm, guest).joins(pod.id)
				screen, keyboard := c.withTerminal()
				c.run()
				screen.WaitFor(t, says)
				atOnce(t, "end", 5*time.Second, func() {
					_, err := keyboard.WriteString("\x03")
					must(t, err)
					if status := c.exitStatus(""); status != 130 {
						t.Errorf("exit status is %d, want 130", status)
					}
				})
			})
		}
	})
}

// TestCloseIOOfATerminal does not hang it up: it has no end of file but ctrl-D.
func TestCloseIOOfATerminal(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "tick")
		screen, keyboard := c.withTerminal()
		c.run()
		must(t, keyboard.Close())
		must(t, c.closeStdin(""))
		screen.WaitFor(t, "tick 3\r\n")
	})
}

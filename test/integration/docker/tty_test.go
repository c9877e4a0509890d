package docker

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/console"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// runTTY uses docker run -it from a terminal of its own, types, and changes the
// terminal's size.
func runTTY(t *testing.T, d *testenv.Docker) {
	master, slave, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := master.Resize(console.WinSize{Height: 30, Width: 100}); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(slave, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()

	c := testenv.Container{Name: "tty"}
	cmd := d.Command("run", "-it", "--rm", "--name", c.Name, "--runtime", testenv.Runtime, image, "cat")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test has failed half way
			_, _ = d.Try("rm", "--force", c.Name)
			_ = cmd.Wait()
		}
	})
	tty.Close()
	var screen testenv.Buffer
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(&screen, master) // ends with EIO when docker has gone
	}()

	var pid string
	testenv.Eventually(t, "running container", func() error {
		pid, err = d.Try("inspect", "--format", "{{.State.Pid}}", c.Name)
		if err == nil && pid == "0" {
			err = fmt.Errorf("not started yet")
		}
		return err
	})
	requireSize(t, pid, 30, 100, func() {})
	if err := master.Resize(console.WinSize{Height: 50, Width: 132}); err != nil {
		t.Fatal(err)
	}
	requireSize(t, pid, 50, 132, func() {
		// The client may not have been listening yet when the size changed.
		_ = cmd.Process.Signal(syscall.SIGWINCH)
	})

	if _, err := io.WriteString(master, "typed\n"); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "echo of the terminal and of cat", func() error {
		if strings.Count(screen.String(), "typed") != 2 {
			return fmt.Errorf("the screen shows %q", screen.String())
		}
		return nil
	})
	if _, err := io.WriteString(master, "\x04"); err != nil { // end of file
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("docker run -it: %v\n%s", err, screen.String())
	}
	<-copied
}

// requireSize waits until the terminal of the process has that size. It calls
// remind before it looks again.
func requireSize(t *testing.T, pid string, height, width uint16, remind func()) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("size %dx%d", height, width), func() error {
		remind()
		f, err := os.OpenFile("/proc/"+pid+"/fd/0", os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		con, err := console.ConsoleFromFile(f)
		if err != nil {
			return err
		}
		size, err := con.Size()
		if err == nil && (size.Height != height || size.Width != width) {
			err = fmt.Errorf("it is %dx%d", size.Height, size.Width)
		}
		return err
	})
}

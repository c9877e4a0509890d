package stdio

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// StartFunc starts a program and returns a channel that is closed, or gets a
// value, when the program has ended. The shim reaps its children in one place,
// so the caller says how.
type StartFunc func(*exec.Cmd) (ended <-chan struct{}, err error)

const (
	// loggerReady is how long a logging program may take until it is ready.
	loggerReady = 10 * time.Second
	// loggerDrain is how long it may work after the end of its input before it
	// is asked to stop, and loggerStop how long after that until it is killed:
	// 12 s together, as containerd's runc shim grants.
	loggerDrain = 3 * time.Second
	loggerStop  = 9 * time.Second
)

// logger is a program that takes a container's output (binary://), with stdout
// on fd 3, stderr on fd 4 and, on fd 5, a pipe that it closes when it is ready
// (containerd core/runtime/v2/logging).
type logger struct {
	cmd        *exec.Cmd
	ended      <-chan struct{}
	outR, outW *os.File
	errR, errW *os.File
}

func startLogger(c Config, u *url.URL) (_ *logger, retErr error) {
	l := &logger{}
	defer func() {
		if retErr != nil {
			l.close()
		}
	}()
	var err error
	if l.outR, l.outW, err = os.Pipe(); err != nil {
		return nil, err
	}
	if l.errR, l.errW, err = os.Pipe(); err != nil {
		return nil, err
	}
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer readyR.Close()
	l.cmd = exec.Command(u.Path, queryArgs(u.RawQuery)...)
	l.cmd.Env = append(os.Environ(), "CONTAINER_ID="+c.ContainerID, "CONTAINER_NAMESPACE="+c.Namespace)
	l.cmd.ExtraFiles = []*os.File{l.outR, l.errR, readyW}
	ended, err := c.Start(l.cmd)
	readyW.Close()
	if err != nil {
		return nil, fmt.Errorf("start logging program: %w", err)
	}
	l.ended = ended
	return l, l.awaitReady(readyR)
}

// queryArgs turns "k=v&k2" into k, v, k2, in this order.
func queryArgs(rawQuery string) []string {
	var args []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		k, v, hasValue := strings.Cut(pair, "=")
		if k = unescape(k); k == "" {
			continue
		}
		args = append(args, k)
		if hasValue {
			args = append(args, unescape(v))
		}
	}
	return args
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// awaitReady returns when the program has closed its end of the ready pipe.
func (l *logger) awaitReady(ready *os.File) error {
	if err := ready.SetReadDeadline(time.Now().Add(loggerReady)); err != nil {
		return err
	}
	_, err := ready.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("logging program %q was not ready within %s", l.cmd.Path, loggerReady)
	}
	return nil
}

func (l *logger) stdout() (*os.File, error) { return dup(l.outW) }
func (l *logger) stderr() (*os.File, error) { return dup(l.errW) }

// started drops the shim's write ends. The read ends stay, so that output
// waits in the pipe, instead of killing its writer, if the program dies.
func (l *logger) started() { closeAll(&l.outW, &l.errW) }

// close waits until the program has taken all output and ended.
func (l *logger) close() {
	closeAll(&l.outW, &l.errW, &l.outR, &l.errR)
	if l.ended == nil {
		return
	}
	for _, step := range []struct {
		wait time.Duration
		then unix.Signal
	}{{loggerDrain, unix.SIGTERM}, {loggerStop, unix.SIGKILL}} {
		select {
		case <-l.ended:
			l.ended = nil
			return
		case <-time.After(step.wait):
			_ = l.cmd.Process.Signal(step.then)
		}
	}
}

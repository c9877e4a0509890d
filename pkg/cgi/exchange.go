package cgi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
)

// bufferSize is how much of an answer is held back at most, in bytes.
const bufferSize = 32 << 10

// A program that has ended makes room for another one, and its client may still take its
// time with both of these.
const (
	// headerBuffer is for the lines of an answer's header, which may be longer.
	headerBuffer = 4 << 10
	// feedBuffer is for a request's body.
	feedBuffer = 16 << 10
)

// exchange is a request with the instance that answers it.
type exchange struct {
	*server
	*visit
	target   target
	instance gateway.Instance

	since time.Time
	// last is when something happened, in nanoseconds after that: the clock may be set
	// meanwhile, which changes no differences.
	last atomic.Int64
	// ended gets the end of the instance.
	ended chan end
	// over is closed then.
	over chan struct{}
	// fed is closed when the body has been read as far as it will be.
	fed chan struct{}

	// complete tells that the client has its whole answer, though the program still runs.
	complete bool

	abandoned sync.Once
	gone      atomic.Bool // the client
	settled   atomic.Bool // nobody wants the body any more
}

// end is how an instance ended: see gateway.Instance.
type end struct {
	status int
	err    error
}

// exchange runs the program once. It returns where a local redirect leads, or "" if the
// request has been answered. The error is a *failure, or errGone.
func (s *server) exchange(v *visit, t target) (local string, err error) {
	ctx := v.r.Context()
	if !t.body && !v.whole.Load() {
		// After a local redirect nobody reads the rest of the body, and net/http takes it
		// for the client's end that settle has stopped who did. A client that really goes
		// away shows when it is written to, or when patience is at its end.
		ctx = context.WithoutCancel(ctx)
	}
	i, err := s.pool.get(ctx)
	switch {
	case ctx.Err() != nil && err != nil:
		return "", errGone
	case err != nil:
		return "", &failure{http.StatusServiceUnavailable, err.Error(), false}
	}
	x := &exchange{
		server: s, visit: v, target: t, instance: i, since: time.Now(),
		ended: make(chan end, 1), over: make(chan struct{}), fed: make(chan struct{}),
	}
	x.touch()
	if t.body {
		// Otherwise net/http would read the body, and forget it, when the answer begins.
		_ = x.client.EnableFullDuplex()
		s.mayWrite(v) // the first to read a body may have to write 100 Continue
	}
	s.guard.begin()
	go x.run(environ(s.Env, v.r, t))
	// A client that goes away shows once its body has been read.
	stop := context.AfterFunc(ctx, x.hangUp)
	defer stop()
	go x.feed()
	defer x.settle()
	return x.answer()
}

func (x *exchange) touch() { x.last.Store(int64(time.Since(x.since))) }

// left is how much patience there is.
func (x *exchange) left() time.Duration {
	return x.Patience - (time.Since(x.since) - time.Duration(x.last.Load()))
}

func (x *exchange) run(env []string) {
	status, err := x.instance.Run(env)
	x.instance.Stdin().Close() // now: the client may take long to read its answer
	x.guard.end()
	x.pool.put()
	x.ended <- end{status, err}
	close(x.over)
}

func (x *exchange) hangUp() {
	x.gone.Store(true)
	x.abandon()
}

// abandon lets go of the instance. It notices when it reads or writes; nothing but the
// end of this process ends one that does neither, and does not end.
func (x *exchange) abandon() {
	x.abandoned.Do(func() {
		x.instance.Stdin().Close()
		x.instance.Stdout().Close()
		select {
		case <-x.over:
			return
		default:
		}
		line := x.line(x.r, fmt.Sprintf("the program does not end, %v after it was given up: so the container does", x.Patience))
		go func() {
			timer := time.NewTimer(x.Patience)
			defer timer.Stop()
			select {
			case <-x.over:
			case <-timer.C:
				x.GiveUp(line)
			}
		}()
	})
}

// settle leaves nothing behind that uses the request.
func (x *exchange) settle() {
	x.abandon()
	if !x.target.body {
		<-x.fed
		return
	}
	select {
	case <-x.fed:
	default:
		// It may wait for a client, for what nobody wants.
		x.settled.Store(true)
		_ = x.client.SetReadDeadline(time.Now().Add(grace))
		<-x.fed
	}
	if x.whole.Load() {
		_ = x.client.SetReadDeadline(time.Time{})
	} else {
		// net/http reads a bit more before it closes the connection.
		_ = x.client.SetReadDeadline(time.Now().Add(grace))
	}
}

// grace is for how long a client may still send a body that nobody wants.
const grace = 200 * time.Millisecond

// feed passes the body on.
func (x *exchange) feed() {
	defer close(x.fed)
	stdin := x.instance.Stdin()
	defer stdin.Close()
	if !x.target.body {
		return
	}
	// There is as much time as answer has, which settle ends.
	_ = x.client.SetReadDeadline(time.Time{})
	buffer := make([]byte, feedBuffer)
	for !x.settled.Load() {
		n, err := x.r.Body.Read(buffer)
		if errors.Is(err, io.EOF) {
			x.whole.Store(true)
			_ = x.client.SetReadDeadline(time.Time{}) // for whoever waits for the client's end
		}
		if n > 0 {
			x.touch()
			// A program need not read all of it.
			if _, err := stdin.Write(buffer[:n]); err != nil {
				return
			}
			x.touch()
		}
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil && x.settled.Load():
			return
		case err != nil:
			x.hangUp() // half a request must not look like a whole one
			return
		}
	}
}

// Read reads what the instance writes.
func (x *exchange) Read(b []byte) (int, error) { return x.read(b, forever) }

const forever = time.Duration(1<<63 - 1)

// read waits for a while at most, after which it is os.ErrDeadlineExceeded. The error is
// errSilent when patience is at its end.
func (x *exchange) read(b []byte, most time.Duration) (int, error) {
	stdout := x.instance.Stdout()
	for {
		left := x.left()
		if left <= 0 {
			return 0, errSilent
		}
		_ = stdout.SetReadDeadline(time.Now().Add(min(left, most)))
		n, err := stdout.Read(b)
		if n > 0 && !x.complete {
			x.touch()
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && most == forever:
			continue
		case errors.Is(err, os.ErrClosed):
			return n, errGone
		}
		return n, err
	}
}

// errSilent is the error of an instance with which nothing happens.
var errSilent = errors.New("nothing has happened for too long")

// answer reads the answer and sends it.
func (x *exchange) answer() (local string, err error) {
	r := bufio.NewReaderSize(x, headerBuffer)
	a, err := readAnswer(r)
	switch {
	case errors.Is(err, errCut):
		return "", x.early()
	case err != nil:
		return "", x.failed(err, false)
	case a.local != "" && x.gone.Load():
		return "", errGone // which nothing would tell the next one
	case a.local != "":
		return a.local, nil
	}
	s := &sender{exchange: x, answer: a}
	return "", s.send(r)
}

// early is the failure of an instance that wrote no answer.
func (x *exchange) early() error {
	e, err := x.wait()
	switch {
	case err != nil:
		return x.failed(err, false)
	case e.err != nil:
		return x.failed(e.err, false)
	}
	return x.failed(fmt.Errorf("it exited with status %d %w", e.status, errCut), false)
}

// wait waits for the instance's end. The error is errSilent.
func (x *exchange) wait() (end, error) {
	timer := time.NewTimer(x.Patience)
	defer timer.Stop()
	select {
	case e := <-x.ended:
		return e, nil
	case <-timer.C:
		return end{}, errSilent
	}
}

// failed makes a failure of an error.
func (x *exchange) failed(err error, begun bool) error {
	switch {
	case x.gone.Load(), errors.Is(err, errGone):
		return errGone
	case errors.Is(err, errSilent):
		return &failure{http.StatusGatewayTimeout, fmt.Sprintf("neither the program nor the client did anything for %v", x.Patience), begun}
	}
	return &failure{http.StatusBadGateway, "the program failed: " + err.Error(), begun}
}

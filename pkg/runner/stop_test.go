package runner_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// connection to a server that has accepted it.
func connection(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	exchange(t, conn, "before\n")
	return conn
}

func exchange(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(conn, text)
	must(t, err)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Errorf("%q, %v; want %q", got, err, text)
	}
}

// turnedAway waits until a server accepts no connections any more.
func turnedAway(t *testing.T, network, address string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial(network, address)
		if errors.Is(err, unix.ECONNREFUSED) {
			return
		}
		if err == nil {
			conn.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("a new connection: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestStoppedServerServesItsConnection(t *testing.T) {
	t.Parallel()
	module := cGuest(t, "echo")
	for order, status := range map[job.Order]int{job.Terminate: 143, job.Interrupt: 130} {
		path, address := unixSocket(t), freeAddress(t)
		for network, at := range map[string]string{"unix": path, "tcp": address} {
			list := map[string]string{"unix": "unix://" + path, "tcp": "tcp://" + address}[network]
			p := serving(t, module, list, job.Job{Graceful: true})
			conn := connection(t, network, at)
			must(t, p.control.Send(order, nil))
			turnedAway(t, network, at)
			exchange(t, conn, "after\n")
			must(t, conn.Close())
			p.expect(status, "1 at 3: unknown\n")
		}
	}
}

func TestStoppedServerWithoutConnectionEnds(t *testing.T) {
	t.Parallel()
	path := unixSocket(t)
	p := serving(t, cGuest(t, "echo"), "unix://"+path, job.Job{Graceful: true})
	echoes(t, "unix", path, "hello")
	time.Sleep(50 * time.Millisecond) // it waits for another one
	must(t, p.control.Send(job.Terminate, nil))
	if status := p.wait(); status != 143 {
		t.Errorf("status %d", status)
	}
}

// A guest that computes hears of nothing, and need not.
func TestStoppedGuestThatSpinsEnds(t *testing.T) {
	t.Parallel()
	p := startReady(t, wat(t, "spin", `(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))`), options{job: job.Job{Graceful: true}})
	p.letGo()
	time.Sleep(50 * time.Millisecond)
	must(t, p.control.Send(job.Terminate, nil))
	p.expect(143, "")
}

// Accept fails, so that a program which knows can end in its own way.
func TestStoppedServerInGoHearsOfIt(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	p := serving(t, goGuest(t, "goserver"), "tcp://"+address, job.Job{Graceful: true})
	connection(t, "tcp", address)
	must(t, p.control.Send(job.Terminate, nil))
	if status := p.wait(); status != 1 || !strings.HasSuffix(p.stdout.String(), ": accept: Invalid argument\n") {
		t.Errorf("status %d, %q", status, p.stdout.String())
	}
}

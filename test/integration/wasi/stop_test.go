package wasi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// underWay is a server and an answer of eight seconds that it has begun.
type underWay struct {
	*testenv.Container
	address string
	answer  io.Reader
	begun   time.Time
	stopped chan time.Duration
}

// stopping is a server that is being stopped. The client reaches it without Docker's
// proxy, which accepts connections by itself.
func stopping(t *testing.T, d *testenv.Docker, flags ...string) underWay {
	c := d.RunDetached(t, append(flags, "--annotation", annotation+"tcp://:8080", "webserver")...)
	c.WaitLog(t, "serving")
	u := underWay{Container: c, address: c.Inspect(t, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}") + ":8080", stopped: make(chan time.Duration, 1)}
	kept := &http.Client{Timeout: 20 * time.Second}
	get(t, kept, "http://"+u.address+"/", "hello from /\n") // leaves a connection that nobody uses
	response, err := client().Get("http://" + u.address + "/slow")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	u.answer = response.Body
	u.begun = time.Now()
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended }) // it must not fail a test that is over
	go func() {
		defer close(ended)
		_, err := d.Try("stop", "--time", "30", c.Name)
		took := time.Since(u.begun)
		if err != nil {
			t.Error(err)
		}
		u.stopped <- took
	}()
	return u
}

// gracefulStop lets a request be answered, and no other begin.
func gracefulStop(t *testing.T, d *testenv.Docker) {
	u := stopping(t, d, "--annotation", "io.containerd.wazero.v1.stop=graceful")
	testenv.Eventually(t, "that a new connection is refused", func() error {
		conn, err := net.DialTimeout("tcp", u.address, time.Second)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			return nil
		case err == nil:
			conn.Close()
			return errors.New("it is accepted")
		}
		return err
	})
	if running := u.Inspect(t, "{{.State.Running}}"); running != "true" {
		t.Error("it does not run any more")
	}
	if text, err := io.ReadAll(u.answer); err != nil || string(text) != "the first half\nthe second half\n" {
		t.Errorf("%q, %v", text, err)
	}
	// Before docker would have it killed.
	if passed := <-u.stopped; passed > testenv.Slow(25*time.Second) {
		t.Errorf("docker stop took until %v after the request", passed)
	}
	if status := u.Inspect(t, "{{.State.ExitCode}}"); status != "143" {
		t.Errorf("status %s, %+v", status, u.Logs(t))
	}
}

// stopsWithinASecond stops a container, which takes a second at most with the start of
// Docker's command. Who was late has another chance: a busy machine takes its time, too.
func stopsWithinASecond(t *testing.T, d *testenv.Docker, c *testenv.Container) {
	t.Helper()
	for try := 1; ; try++ {
		begin := time.Now()
		d.Docker(t, "stop", "--time", "20", c.Name)
		took := time.Since(begin)
		t.Logf("docker stop took %v", took.Round(time.Millisecond))
		switch {
		case took <= testenv.Slow(time.Second):
			return
		case try == 3:
			t.Errorf("docker stop took %v", took)
			return
		}
		d.Docker(t, "start", c.Name)
		c.WaitFor(t, "{{.State.Running}}", "true")
	}
}

// immediateStop is what happens to who has not asked for another.
func immediateStop(t *testing.T, d *testenv.Docker) {
	u := stopping(t, d)
	if text, err := io.ReadAll(u.answer); err == nil || string(text) != "the first half\n" {
		t.Errorf("%q, %v", text, err)
	}
	<-u.stopped
	if status := u.Inspect(t, "{{.State.ExitCode}}"); status != "143" {
		t.Errorf("status %s", status)
	}
}

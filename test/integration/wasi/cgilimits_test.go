package wasi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/servers"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// overSocket is a directory for a container's /run/app, and a client of the socket in it:
// a port that is published would have a proxy of Docker's in between.
func overSocket(t *testing.T) (dir string, c *http.Client) {
	dir, err := os.MkdirTemp("", "s-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir, &http.Client{Timeout: testenv.Slow(60 * time.Second), Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "s"))
		},
	}}
}

// cgiThousand has that many requests wait at the same time.
func cgiThousand(t *testing.T, d *testenv.Docker) {
	dir, c := overSocket(t)
	d.RunDetached(t, "--annotation", "io.containerd.wazero.v1.cgi=8", "--env", "WAZERO_LISTEN=unix:///run/app/s", "--volume", dir+":/run/app", "cgi")
	begun := time.Now()
	if served := storm(t, c, 1000, "http://app/wait?5", "waited\n"); served != 1000 {
		t.Errorf("%d of 1000 were served", served)
	}
	t.Logf("1000 connections at a time, each with a request of 5 ms, eight at a time: %v", time.Since(begun))
	get(t, c, "http://app/after", "hello from /after\n")
}

// patient opens a connection for each request, which may have to wait for many others.
func patient() *http.Client {
	return &http.Client{Timeout: testenv.Slow(2 * time.Minute), Transport: &http.Transport{DisableKeepAlives: true}}
}

// storm connects many times before the first one sends its request, and counts those who
// are answered as they should. Others have to be told to come again.
func storm(t *testing.T, c *http.Client, many int, url, want string) int {
	t.Helper()
	var all sync.WaitGroup
	var served atomic.Int64
	for range many {
		all.Go(func() {
			answer, err := c.Get(url)
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			data, err := io.ReadAll(answer.Body)
			switch {
			case err == nil && answer.StatusCode == 200 && string(data) == want:
				served.Add(1)
			case answer.StatusCode != 503 && answer.StatusCode != 502:
				t.Errorf("%d, %q, %v", answer.StatusCode, data, err)
			}
		})
	}
	all.Wait()
	return int(served.Load())
}

// cgiMemory: all instances together stay below the limit, and who finds no room waits.
func cgiMemory(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d, "--memory", "96m")
	if served := storm(t, patient(), 60, url+"/wait?50", "waited\n"); served != 60 {
		t.Errorf("%d of 60 small ones", served)
	}
	served := storm(t, patient(), 12, url+"/grow?25", "grown\n")
	t.Logf("%d of 12 that want 25 MiB of 96 MiB, at a time", served)
	if served == 0 {
		t.Error("none was served")
	}
	if answer, _ := ask(t, "GET", url+"/grow?90", "", nil); answer.StatusCode != 502 {
		t.Errorf("status %d", answer.StatusCode)
	}
	waitError(t, c, `"GET /grow?90": the program failed: it was refused memory at the container's limit`)
	get(t, client(), url+"/a", "hello from /a\n")
	if oom := c.Inspect(t, "{{.State.OOMKilled}} {{.RestartCount}}"); oom != "false 0" {
		t.Error(oom)
	}
	if r := d.Do(t, "", "run", "--rm", "--runtime", testenv.Runtime, "--annotation", "io.containerd.wazero.v1.cgi=on", "--memory", "12m", "cgi"); r.Status == 0 || !strings.Contains(r.Stderr, "MiB leaves 0.0 MiB for all requests: raise the limit") {
		t.Errorf("%+v", r)
	}
}

// cgiThreads: a limit of threads leaves room for fewer at a time.
func cgiThreads(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d, "--pids-limit", "18")
	if served := storm(t, patient(), 200, url+"/wait?10", "waited\n"); served != 200 {
		t.Errorf("%d of 200, %+v", served, c.Logs(t))
	}
	threads, err := filepath.Glob("/proc/" + c.Pid(t) + "/task/*")
	if err != nil || len(threads) > 18 {
		t.Errorf("%d threads, %v", len(threads), err)
	}
	t.Logf("%d threads of 18", len(threads))
}

func cgiWrong(t *testing.T, d *testenv.Docker) {
	const ours = "io.containerd.wazero.v1."
	for want, flags := range map[string][]string{
		`annotation io.containerd.wazero.v1.cgi="yes": want "on", "off", or how many`: {"--annotation", ours + "cgi=yes"},
		`annotation io.containerd.wazero.v1.cgi="0": want "on"`:                       {"--annotation", ours + "cgi=0"},
		`annotation io.containerd.wazero.v1.cgi-timeout="1ms": want a time from`:      {"--annotation", ours + "cgi=on", "--annotation", ours + "cgi-timeout=1ms"},
		`cgi makes a server, but there is nothing to listen at: add the annotation`:   {"--annotation", ours + "cgi=on", "--annotation", ours + "listen="},
		`cgi makes a server of HTTP, which "udp://:53" cannot be`:                     {"--annotation", ours + "cgi=on", "--annotation", ours + "listen=udp://:53"},
		`asks for listeners, but the network is "none"`:                               {"--annotation", ours + "cgi=on", "--annotation", ours + "network=none"},
		`linux.resources.pids.limit 13: a server by CGI needs 14: raise it`:           {"--annotation", ours + "cgi=on", "--pids-limit", "13"},
		`60 files may be open, which is too few for 16 requests at a time`:            {"--annotation", ours + "cgi=on", "--ulimit", "nofile=60"},
		`preopen "/nothing"`: {"--annotation", ours + "cgi=on", "--annotation", ours + "preopens=/nothing"},
	} {
		args := append([]string{"run", "--rm", "--runtime", testenv.Runtime}, flags...)
		if r := d.Do(t, "", append(args, "cgi")...); r.Status == 0 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%v: %+v; want %q", flags, r, want)
		}
	}
}

// cgiExec: what is executed in a server is an ordinary process.
func cgiExec(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d)
	if r := d.Do(t, "", "exec", "--env", "PATH_INFO=/x", c.Name, "/cgi.wasm"); r.Status != 0 || !strings.HasSuffix(r.Stdout, "hello from /x\n") {
		t.Errorf("%+v", r)
	}
	get(t, client(), url+"/a", "hello from /a\n")
	// Off is as if the annotation were not there.
	r := d.Do(t, "", "run", "--rm", "--runtime", testenv.Runtime, "--annotation", "io.containerd.wazero.v1.cgi=off", "--env", "PATH_INFO=/y", "cgi")
	if r.Status != 0 || !strings.HasSuffix(r.Stdout, "hello from /y\n") {
		t.Errorf("%+v", r)
	}
}

func cgiUser(t *testing.T, d *testenv.Docker) {
	_, url := startCGI(t, d, "--user", "1000:1000", "--read-only", "--cap-drop", "ALL")
	get(t, client(), url+"/a", "hello from /a\n")
}

func cgiStop(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d)
	done := make(chan bool)
	go func() {
		_, _ = body(client(), url+"/wait?5000")
		close(done)
	}()
	time.Sleep(300 * time.Millisecond)
	before := time.Now()
	d.Docker(t, "stop", "--time", "20", c.Name)
	if passed := time.Since(before); passed > 4*time.Second {
		t.Errorf("docker stop took %v, with a request that needs 5 s", passed)
	}
	if status := c.Inspect(t, "{{.State.ExitCode}}"); status != "143" {
		t.Errorf("status %s", status)
	}
	<-done
}

func cgiGracefulStop(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d, "--annotation", "io.containerd.wazero.v1.stop=graceful")
	kept := &http.Client{Timeout: 20 * time.Second}
	get(t, kept, url+"/", "hello from /\n") // leaves a connection that nobody uses
	text := make(chan string, 1)
	go func() {
		got, err := body(client(), url+"/wait?1500")
		text <- fmt.Sprint(got, err)
	}()
	time.Sleep(300 * time.Millisecond)
	before := time.Now()
	d.Docker(t, "stop", "--time", "20", c.Name)
	if passed := time.Since(before); passed > testenv.Slow(15*time.Second) || passed < 500*time.Millisecond {
		t.Errorf("docker stop took %v", passed)
	}
	if got := <-text; got != "waited\n<nil>" {
		t.Errorf("the request was answered by %q", got)
	}
	if status := c.Inspect(t, "{{.State.ExitCode}}"); status != "143" {
		t.Errorf("status %s, %+v", status, c.Logs(t))
	}
}

// cgiEndless: a program with which nothing happens is given up, and ended with its
// container if it does not end by itself.
func cgiEndless(t *testing.T, d *testenv.Docker) {
	flags := append([]string{"--annotation", "io.containerd.wazero.v1.cgi-timeout=2s"}, asCGI...)
	for _, crowd := range []bool{false, true} {
		c := d.RunAnother(t, fmt.Sprint(crowd), append(flags, "cgi")...)
		url := "http://" + published(t, d, c, "8080")
		if answer, text := ask(t, "GET", url+"/wait?3000", "", nil); answer.StatusCode != 504 || text != "Gateway Timeout\n" {
			t.Errorf("%d, %q", answer.StatusCode, text)
		}
		waitError(t, c, `cgi: "GET /wait?3000": neither the program nor the client did anything for 2s`)
		time.Sleep(1500 * time.Millisecond) // in which it ends
		get(t, client(), url+"/a", "hello from /a\n")
		go func() { _, _ = body(client(), url+"/spin") }()
		if crowd { // whose garbage is collected, which has to wait for the one that spins
			go func() {
				for range 3000 {
					if _, err := body(&http.Client{Timeout: 2 * time.Second}, url+"/huge?10"); err != nil {
						return
					}
				}
			}()
		}
		testenv.Eventually(t, "the end of the container", func() error {
			if running := c.Inspect(t, "{{.State.Running}} {{.State.ExitCode}}"); running != "false 142" {
				return fmt.Errorf("it is %s", running)
			}
			return nil
		})
		if !crowd {
			waitError(t, c, `cgi: "GET /spin": the program does not end, 2s after it was given up: so the container does`)
		}
	}
}

// cgiIdle: who has nothing to do does nothing.
func cgiIdle(t *testing.T, d *testenv.Docker) {
	c, url := startCGI(t, d)
	php := d.RunAnother(t, "php", append(append([]string{}, asCGI...), "php")...)
	kept := &http.Client{Timeout: 20 * time.Second}
	get(t, kept, url+"/", "hello from /\n")
	storm(t, patient(), 50, "http://"+published(t, d, php, "8080")+"/", "hello from /\n")
	time.Sleep(time.Second)
	servers.Idle(t, map[string][]string{"C": {c.Pid(t)}, "PHP": {php.Pid(t)}})
}

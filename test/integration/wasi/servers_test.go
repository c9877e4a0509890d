package wasi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// published is the address by which a published port is reached.
func published(t *testing.T, d *testenv.Docker, c *testenv.Container, port string) string {
	t.Helper()
	address, _, _ := strings.Cut(d.Docker(t, "port", c.Name, port), "\n")
	return address
}

// client opens a connection for each request.
func client() *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

// get expects the answer of a server.
func get(t *testing.T, c *http.Client, url, want string) {
	t.Helper()
	if got, err := body(c, url); err != nil || got != want {
		t.Errorf("%s: %q, %v; want %q", url, got, err, want)
	}
}

func body(c *http.Client, url string) (string, error) {
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	return string(data), err
}

func webserver(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--annotation", annotation+"http=tcp://0.0.0.0:8080", "--publish", "127.0.0.1::8080", "webserver")
	c.WaitLog(t, "serving")
	url := "http://" + published(t, d, c, "8080")
	get(t, client(), url+"/a", "hello from /a\n")
	kept := &http.Client{Timeout: 20 * time.Second}
	for i := range 20 {
		get(t, kept, fmt.Sprintf("%s/%d", url, i), fmt.Sprintf("hello from /%d\n", i))
	}
	large := strings.Repeat("0123456789abcdef", 1<<16)
	r, err := kept.Post(url+"/echo", "text/plain", strings.NewReader(large))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if data, err := io.ReadAll(r.Body); err != nil || string(data) != large {
		t.Errorf("%d bytes came back of %d, %v", len(data), len(large), err)
	}
}

func acceptor(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--env", "WAZERO_LISTEN=web=tcp://[::]:8080", "--publish", "127.0.0.1::8080", "acceptor")
	c.WaitLog(t, "accepting")
	url := "http://" + published(t, d, c, "8080")
	for range 5 {
		get(t, client(), url, "hello from C\n")
	}
}

// An image can ask for what its program needs, and whoever runs it for something else.
func askingImage(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--publish", "127.0.0.1::8080", "asking")
	get(t, client(), "http://"+published(t, d, c, "8080"), "hello from C\n")
	other := d.RunAnother(t, "other", "--annotation", annotation+"tcp://:9090", "--publish", "127.0.0.1::9090", "asking")
	get(t, client(), "http://"+published(t, d, other, "9090"), "hello from C\n")
	if r := d.Do(t, "", "run", "--rm", "--runtime", testenv.Runtime, "--annotation", annotation, "asking"); r.Status != 1 || r.Stdout != "no listener\n" {
		t.Errorf("%+v", r)
	}
}

func unixSocket(t *testing.T, d *testenv.Docker) {
	dir, err := os.MkdirTemp("", "s-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := d.RunDetached(t, "--volume", dir+":/run/app", "--env", "WAZERO_LISTEN=unix:///run/app/s", "webserver")
	c.WaitLog(t, "serving")
	over := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "s"))
		},
	}}
	get(t, over, "http://app/unix", "hello from /unix\n")
	// Killed, it leaves the socket's file, and starts all the same.
	d.Docker(t, "kill", c.Name)
	d.Docker(t, "wait", c.Name)
	d.Docker(t, "start", c.Name)
	testenv.Eventually(t, "an answer after the restart", func() error {
		_, err := body(&http.Client{Transport: over.Transport.(*http.Transport).Clone()}, "http://app/again")
		return err
	})
}

func datagrams(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--env", "WAZERO_LISTEN=udp://0.0.0.0:5353", "--publish", "127.0.0.1::5353/udp", "datagrams")
	conn, err := net.Dial("udp", published(t, d, c, "5353/udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, text := range []string{"one", "two words", "end"} {
		fmt.Fprint(conn, text)
		c.WaitLog(t, text)
	}
	if status := d.Docker(t, "wait", c.Name); status != "0" {
		t.Errorf("status %s, %+v", status, c.Logs(t))
	}
}

// Docker lets all users of a container have low ports, unless the sysctl says
// otherwise, and then those with the capability.
func lowPorts(t *testing.T, d *testenv.Docker) {
	const start = "net.ipv4.ip_unprivileged_port_start=1024"
	for i, flags := range [][]string{{"--user", "1000"}, {"--sysctl", start}} {
		args := append(flags, "--env", "WAZERO_LISTEN=tcp://:80", "--publish", "127.0.0.1::80", "acceptor")
		c := d.RunAnother(t, strconv.Itoa(i), args...)
		get(t, client(), "http://"+published(t, d, c, "80"), "hello from C\n")
	}
	const want = `listener "web=tcp://:80": bind: permission denied: choose a port from 1024 on, or give the container the capability NET_BIND_SERVICE`
	for _, flags := range [][]string{{"--user", "1000"}, {"--cap-drop", "NET_BIND_SERVICE"}} {
		args := append([]string{"run", "--rm", "--runtime", testenv.Runtime, "--sysctl", start, "--env", "WAZERO_LISTEN=web=tcp://:80"}, flags...)
		if r := d.Do(t, "", append(args, "acceptor")...); r.Status == 0 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%v: %+v", flags, r)
		}
	}
}

// Docker gives a container its network after it has been created.
func loopback(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--env", "WAZERO_LISTEN=tcp://127.0.0.1:8080,tcp://[::]:8081", "--publish", "127.0.0.1::8081", "webserver")
	c.WaitLog(t, "serving")
	get(t, client(), "http://"+published(t, d, c, "8081")+"/", "hello from /\n")
}

func refusals(t *testing.T, d *testenv.Docker) {
	first := d.RunDetached(t, "--env", "WAZERO_LISTEN=tcp://:8080", "acceptor")
	first.WaitLog(t, "accepting")
	for list, want := range map[string]string{
		"web=tcp://0.0.0.0:8080": `listener "web=tcp://0.0.0.0:8080": bind: address already in use: another process of the pod or the network has it; choose another port`,
		"tcp://192.0.2.1:80":     `listener "tcp://192.0.2.1:80": bind: cannot assign requested address: the container has no such address`,
		"unix:///no/such/s":      `listener "unix:///no/such/s": bind: no such file or directory`,
		"8080":                   `process.env WAZERO_LISTEN="8080": "8080": want NAME=NETWORK://ADDRESS`,
	} {
		r := d.Do(t, "", "run", "--rm", "--runtime", testenv.Runtime, "--network", "container:"+first.Name, "--env", "WAZERO_LISTEN="+list, "acceptor")
		if r.Status == 0 || !strings.Contains(r.Stderr, want) || r.Stdout != "" {
			t.Errorf("%s: %+v", list, r)
		}
	}
	r := d.Do(t, "", "run", "--rm", "--runtime", testenv.Runtime, "--annotation", annotation+"tcp://:1", "--annotation", "io.containerd.wazero.v1.network=none", "acceptor")
	if r.Status == 0 || !strings.Contains(r.Stderr, "asks for listeners, but the network is") {
		t.Errorf("%+v", r)
	}
}

// What is executed in a container inherits its environment, but has no listeners.
func execInServer(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--env", "WAZERO_LISTEN=tcp://:8080", "acceptor")
	c.WaitLog(t, "accepting")
	if r := d.Do(t, "", "exec", c.Name, "/acceptor.wasm"); r.Status != 1 || r.Stdout != "no listener\n" {
		t.Errorf("%+v", r)
	}
}

// A guest knows its listeners by the variables of systemd, and not what asked for them.
func several(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--env", "WAZERO_LISTEN=a=tcp://:8080,tcp://:8081", "--env", "LISTEN_FDS=7", "--publish", "127.0.0.1::8080", "--publish", "127.0.0.1::8081", "webserver")
	c.WaitLog(t, "serving")
	for _, port := range []string{"8080", "8081"} {
		env, err := body(client(), "http://"+published(t, d, c, port)+"/environ")
		if err != nil || !strings.Contains(env, "LISTEN_FDS=2\nLISTEN_FDNAMES=a:unknown\nLISTEN_FDS_START=4\n") || strings.Contains(env, "WAZERO") || strings.Contains(env, "LISTEN_FDS=7") {
			t.Errorf("port %s: %q, %v", port, env, err)
		}
	}
}

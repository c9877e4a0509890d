package listen

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/packed"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen/listentest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]Socket{
		"":                                    nil,
		" ":                                   nil,
		"tcp://0.0.0.0:8080":                  {{"", "tcp", "0.0.0.0:8080", Patient}},
		"http=tcp://0.0.0.0:8080":             {{"http", "tcp", "0.0.0.0:8080", Patient}},
		"tcp://[::]:1":                        {{"", "tcp", "[::]:1", Patient}},
		"tcp://:65535":                        {{"", "tcp", ":65535", Patient}},
		"udp://[fe80::1]:53":                  {{"", "udp", "[fe80::1]:53", Patient}},
		"unix:///run/app.sock":                {{"", "unix", "/run/app.sock", Patient}},
		"a=unix:///run/a=b;blocking":          {{"a", "unix", "/run/a=b", Blocking}},
		"a-b.c_=tcp://:80;nonblocking":        {{"a-b.c_", "tcp", ":80", Nonblocking}},
		" a=tcp://:1 , udp://1.2.3.4:2 ":      {{"a", "tcp", ":1", Patient}, {"", "udp", "1.2.3.4:2", Patient}},
		"a=tcp://:1,a=tcp://:2,tcp://:3":      {{"a", "tcp", ":1", Patient}, {"a", "tcp", ":2", Patient}, {"", "tcp", ":3", Patient}},
		"tcp://[::ffff:127.0.0.1]:80":         {{"", "tcp", "[::ffff:127.0.0.1]:80", Patient}},
		"unix:///" + strings.Repeat("a", 106): {{"", "unix", "/" + strings.Repeat("a", 106), Patient}},
	} {
		got, err := Parse(list)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v, %v; want %+v", list, got, err, want)
		}
	}
}

func TestEntriesThatAreWrong(t *testing.T) {
	t.Parallel()
	for list, text := range map[string]string{
		"8080":                                  `"8080": want NAME=NETWORK://ADDRESS`,
		"0.0.0.0:8080":                          "want NAME=",
		"tcp://:1,":                             `"": want NAME=`,
		",tcp://:1":                             "want NAME=",
		"tcp:/:1":                               "want NAME=",
		"http://:80":                            `no network "http"`,
		"TCP://:80":                             `no network "TCP"`,
		"://:80":                                `no network ""`,
		"=tcp://:80":                            "want a name",
		"a:b=tcp://:80":                         `has the character ':'`,
		"a b=tcp://:80":                         `has the character ' '`,
		"ü=tcp://:80":                           "has the character",
		strings.Repeat("a", 256) + "=tcp://:80": "want a name",
		"a=b=tcp://:80":                         `no network "b=tcp"`,
		"tcp://localhost:80":                    "names are not looked up",
		"tcp://0.0.0.0":                         "is no address and port",
		"tcp://0.0.0.0:http":                    "is no address and port",
		"tcp://::1:80":                          "is no address and port",
		"tcp://:":                               "is no address and port",
		"tcp://":                                "is no address and port",
		"tcp://:65536":                          "is no address and port",
		"tcp://:0":                              "want a port from 1",
		"tcp://1.2.3.4:0":                       "want a port from 1",
		"tcp://[fe80::1%eth0]:80":               "zone",
		"tcp://:80/":                            "is no address and port",
		"tcp://:80;":                            `not ""`,
		"tcp://:80;block":                       `not "block"`,
		"tcp://:80;blocking;blocking":           `not "blocking;blocking"`,
		"unix://app.sock":                       "no absolute path",
		"unix://@app":                           "no absolute path",
		"unix://":                               "no absolute path",
		"unix:///":                              "no absolute path",
		"unix:///run/":                          "no absolute path",
		"unix:///a\x00b":                        "zero byte",
		"unix:///" + strings.Repeat("a", 107):   "longer than 107",
		strings.Repeat("tcp://:1,", 256) + "tcp://:1": "there are 257 sockets",
	} {
		if got, err := Parse(list); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q is %+v, %v; want %q", list, got, err, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, list := range []string{"", "a=tcp://:1;blocking,unix:///a", "udp://[::]:1", "=,://;"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		sockets, err := Parse(list)
		if err != nil {
			return
		}
		w := packed.Writer()
		packed.Slice(w, &sockets, func(s *Socket) { s.Pack(w) })
		r := packed.Reader(w.Bytes())
		var got []Socket
		packed.Slice(r, &got, func(s *Socket) { s.Pack(r) })
		if err := r.End(); err != nil || !reflect.DeepEqual(got, sockets) {
			t.Errorf("%+v became %+v, %v", sockets, got, err)
		}
		for i := range sockets {
			s := sockets[i]
			s.Mode = Patient
			if again, err := Parse(s.String()); err != nil || len(again) != 1 || again[0] != s {
				t.Errorf("%+v is written %q, which is %+v, %v", s, s, again, err)
			}
		}
	})
}

func open(t *testing.T, s Socket) int {
	t.Helper()
	fd, err := s.Open()
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestStreamsAreListenedAt(t *testing.T) {
	t.Parallel()
	port := listentest.FreePort(t)
	path := filepath.Join(t.TempDir(), "sock")
	for _, tc := range []struct {
		socket          Socket
		network, dialed string
	}{
		{Socket{Network: "tcp", Address: "127.0.0.1:" + port}, "tcp", "127.0.0.1:" + port},
		{Socket{Network: "tcp", Address: "[::1]:" + port, Mode: Blocking}, "tcp", "[::1]:" + port},
		{Socket{Network: "tcp", Address: ":" + listentest.FreePort(t)}, "tcp4", ""},
		{Socket{Network: "tcp", Address: "[::]:" + listentest.FreePort(t)}, "tcp6", ""},
		{Socket{Network: "tcp", Address: "0.0.0.0:" + listentest.FreePort(t), Mode: Nonblocking}, "tcp4", ""},
		{Socket{Network: "unix", Address: path}, "unix", path},
	} {
		fd := open(t, tc.socket)
		if tc.dialed == "" {
			tc.dialed = map[string]string{"tcp4": "127.0.0.1:", "tcp6": "[::1]:"}[tc.network] + tc.socket.Address[strings.LastIndexByte(tc.socket.Address, ':')+1:]
		}
		conn, err := net.DialTimeout(tc.network, tc.dialed, time.Second)
		if err != nil {
			t.Errorf("%s: %v", tc.socket, err)
			continue
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
		must(t, err)
		accepted, _, err := unix.Accept(fd)
		if err != nil {
			t.Errorf("%s: %v", tc.socket, err)
			continue
		}
		if tc.socket.Network == "tcp" {
			if on, err := unix.GetsockoptInt(accepted, unix.IPPROTO_TCP, unix.TCP_NODELAY); on == 0 || err != nil {
				t.Errorf("%s: connections delay (%v)", tc.socket, err)
			}
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		must(t, err)
		descriptor, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		must(t, err)
		if (flags&unix.O_NONBLOCK == 0) != (tc.socket.Mode == Blocking) || descriptor&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: flags %#x, %#x", tc.socket, flags, descriptor)
		}
		conn.Close()
		unix.Close(accepted)
	}
}

func TestDatagramsAreReceived(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		address := host + ":" + listentest.FreePort(t)
		s := Socket{Network: "udp", Address: address, Mode: Blocking}
		fd := open(t, s)
		conn, err := net.Dial("udp", address)
		must(t, err)
		_, err = conn.Write([]byte("hello"))
		must(t, err)
		got := make([]byte, 10)
		n, err := unix.Read(fd, got)
		must(t, err)
		if string(got[:n]) != "hello" {
			t.Errorf("%s: %q", s, got[:n])
		}
		if _, err := s.Open(); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%s a second time: %v", s, err)
		}
		conn.Close()
	}
}

func TestWhatCannotBeOpenedIsASentence(t *testing.T) {
	t.Parallel()
	address := "127.0.0.1:" + listentest.FreePort(t)
	open(t, Socket{Network: "tcp", Address: address})
	used := filepath.Join(t.TempDir(), "used")
	open(t, Socket{Network: "unix", Address: used})
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("x"), 0o600))
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(used, link))
	for _, tc := range []struct {
		socket Socket
		errno  error
		text   string
	}{
		{Socket{Name: "http", Network: "tcp", Address: address}, unix.EADDRINUSE,
			`listener "http=tcp://` + address + `": bind: address already in use: another process of the pod or the network has it; choose another port`},
		{Socket{Network: "tcp", Address: "192.0.2.1:80"}, unix.EADDRNOTAVAIL, "the container has no such address"},
		{Socket{Network: "unix", Address: used}, unix.EADDRINUSE, used},
		{Socket{Network: "unix", Address: file}, unix.EADDRINUSE, file},
		{Socket{Network: "unix", Address: link}, unix.EADDRINUSE, link},
		{Socket{Network: "unix", Address: "/no/such/directory"}, unix.ENOENT, "/no/such"},
	} {
		fd, err := tc.socket.Open()
		if !errors.Is(err, tc.errno) || !strings.Contains(err.Error(), tc.text) || fd != -1 {
			t.Errorf("%s: %d, %v; want %q", tc.socket, fd, err, tc.text)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "x" {
		t.Errorf("the file is %q (%v)", data, err)
	}
}

func TestPrivilegedPortsNeedACapability(t *testing.T) {
	t.Parallel()
	if start, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil || strings.TrimSpace(string(start)) != "1024" {
		t.Fatalf("here ports are privileged below %q (%v)", start, err)
	}
	s := Socket{Network: "tcp", Address: "127.0.0.1:7"}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // which ends with this function: it cannot be given back
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			done <- err
			return
		}
		_, err := s.Open()
		done <- err
	}()
	if err := <-done; !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), "from 1024 on, or give the container the capability NET_BIND_SERVICE") {
		t.Errorf("without the capability: %v", err)
	}
	for address, want := range map[string]bool{"127.0.0.1:1023": true, ":80": true, "[::]:1024": false, ":8080": false} {
		if got := (Socket{Network: "udp", Address: address}).Privileged(); got != want {
			t.Errorf("%s is privileged: %v", address, got)
		}
	}
	if (Socket{Network: "unix", Address: "/a:1"}).Privileged() {
		t.Error("a unix socket is privileged")
	}
}

func TestTheEnvironmentTells(t *testing.T) {
	t.Parallel()
	env := []string{"A=1", Variable + "=tcp://:1", "LISTEN_FDS=9", "LISTEN_PID=1", "LISTEN_FDNAMES=x", "LISTEN_FDS_START=7", Variable + "=tcp://:2", "Z"}
	others, value := Without(env)
	if want := []string{"A=1", "LISTEN_FDS=9", "LISTEN_PID=1", "LISTEN_FDNAMES=x", "LISTEN_FDS_START=7", "Z"}; !slices.Equal(others, want) || value != "tcp://:1" {
		t.Errorf("%q, %q", others, value)
	}
	if len(env) != 8 || env[1] != Variable+"=tcp://:1" {
		t.Errorf("the container's environment is %q now", env)
	}
	if same, value := Without([]string{"A=1"}); !slices.Equal(same, []string{"A=1"}) || value != "" {
		t.Errorf("%q, %q", same, value)
	}
	got := Environ(others, []Socket{{Name: "http"}, {}, {Name: "b"}}, 4)
	want := []string{"A=1", "Z", "LISTEN_FDS=3", "LISTEN_FDNAMES=http:unknown:b", "LISTEN_FDS_START=4", "LISTEN_FDS_FIRST_FD=4"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Environ(others, nil, 4); !slices.Equal(got, others) {
		t.Errorf("without sockets: %q", got)
	}
}

package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var both = Families{V4: true, V6: true}

// resolver has the files conf and hosts.
func resolver(t testing.TB, conf, hosts string) Resolver {
	t.Helper()
	dir := t.TempDir()
	r := Resolver{filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "hosts"), filepath.Join(dir, "services")}
	for path, text := range map[string]string{r.Conf: conf, r.Hosts: hosts} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func using(servers ...*server) string {
	var b strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s.addr)
	}
	return b.String()
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestLookup(t *testing.T) {
	t.Parallel()
	z := zone{
		"both.test": {"2001:db8::1", "192.0.2.1", "192.0.2.2"}, "four.test": {"192.0.2.4"}, "six.test": {"2001:db8::6"},
		"alias.test": {"=real.test", "192.0.2.7"}, "empty.test": {}, "broken.test": {"servfail"}, "shy.test": {"refuse"},
		"long.test": {"truncate", "192.0.2.9"}, "lies.test": {"lie", "192.0.2.10"}, "a.b.test": {"192.0.2.11"},
		"a.b.test.sub.search.test": {"192.0.2.12"}, "short.sub.search.test": {"192.0.2.13"}, "short.search.test": {"192.0.2.14"},
		"later.search.test": {"192.0.2.15"}, "hosted": {"192.0.2.16"}, "hosted6": {"2001:db8::16"}, "single": {"192.0.2.17"},
	}
	const hosts = "192.0.2.20 full.name hosted # comment\n2001:db8::20 hosted\n192.0.2.21 HOSTED\nfe80::1%eth0 hosted\nno address\n192.0.2.22 hosted6\n"
	for _, tc := range []struct {
		name, conf string
		families   Families
		want       Answer
		err        error
		asked      string // of the server, in alphabetical order; "-" is not compared
	}{
		{"both.test", "", both, Answer{"both.test", addrs("192.0.2.1", "192.0.2.2", "2001:db8::1")}, nil, "both.test A, both.test AAAA"},
		{"both.test", "", Families{V4: true}, Answer{"both.test", addrs("192.0.2.1", "192.0.2.2")}, nil, "both.test A"},
		{"both.test.", "", Families{V6: true}, Answer{"both.test", addrs("2001:db8::1")}, nil, "both.test AAAA"},
		{"both.test", "options use-vc", Families{V6: true}, Answer{"both.test", addrs("2001:db8::1")}, nil, "tcp both.test AAAA"},
		{"four.test", "", both, Answer{"four.test", addrs("192.0.2.4")}, nil, "-"},
		{"four.test", "", Families{V6: true}, Answer{}, ErrNoData, "-"},
		{"six.test", "", both, Answer{"six.test", addrs("2001:db8::6")}, nil, "-"},
		{"alias.test", "", both, Answer{"real.test", addrs("192.0.2.7")}, nil, "-"},
		{"empty.test", "", both, Answer{}, ErrNoData, "-"},
		{"none.test", "", both, Answer{}, ErrNoName, "none.test A, none.test AAAA"},
		{"broken.test", "", Families{V4: true}, Answer{}, ErrAgain, "broken.test A, broken.test A"},
		{"broken.test", "options attempts:3", Families{V4: true}, Answer{}, ErrAgain, "broken.test A, broken.test A, broken.test A"},
		{"shy.test", "options attempts:1", Families{V4: true}, Answer{}, ErrAgain, "shy.test A"},
		{"long.test", "", Families{V4: true}, Answer{"long.test", addrs("192.0.2.9")}, nil, "long.test A, tcp long.test A"},
		{"lies.test", "", Families{V4: true}, Answer{"lies.test", addrs("192.0.2.10")}, nil, "-"},
		{"a.b.test", "search sub.search.test", Families{V4: true}, Answer{"a.b.test", addrs("192.0.2.11")}, nil, "a.b.test A"},
		{"a.b.test", "search sub.search.test\noptions ndots:3", Families{V4: true}, Answer{"a.b.test.sub.search.test", addrs("192.0.2.12")}, nil, "a.b.test.sub.search.test A"},
		{"short", "search sub.search.test. search.test", Families{V4: true}, Answer{"short.sub.search.test", addrs("192.0.2.13")}, nil, "-"},
		{"later", "search sub.search.test search.test", Families{V4: true}, Answer{"later.search.test", addrs("192.0.2.15")}, nil, "later.search.test A, later.sub.search.test A"},
		{"short", "search sub.search.test\ndomain search.test", Families{V4: true}, Answer{"short.search.test", addrs("192.0.2.14")}, nil, "-"},
		{"single", "search search.test", Families{V4: true}, Answer{"single", addrs("192.0.2.17")}, nil, "single A, single.search.test A"},
		{"hosted", "", both, Answer{"full.name", addrs("192.0.2.20", "192.0.2.21", "2001:db8::20")}, nil, ""},
		{"Hosted.", "", Families{V6: true}, Answer{"hosted", addrs("2001:db8::20")}, nil, ""},
		{"hosted6", "", Families{V6: true}, Answer{"hosted6", addrs("2001:db8::16")}, nil, "hosted6 AAAA"},
		{"localhost", "", both, Answer{"localhost", addrs("127.0.0.1", "::1")}, nil, ""},
		{"x.LocalHost.", "", Families{V6: true}, Answer{"x.LocalHost", addrs("::1")}, nil, ""},
		{"", "", both, Answer{}, ErrNoName, ""},
		{".", "", both, Answer{}, ErrNoName, ""},
		{"a..b", "", both, Answer{}, ErrNoName, ""},
		{"two words", "", both, Answer{}, ErrNoName, ""},
		{strings.Repeat("x", 64) + ".test", "", both, Answer{}, ErrNoName, ""},
		{strings.Repeat("x.", 127), "", both, Answer{}, ErrNoName, "-"},
		{strings.Repeat("x.", 128), "", both, Answer{}, ErrNoName, ""},
	} {
		t.Run(fmt.Sprintf("%.20s %s %v", tc.name, tc.conf, tc.families), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, z)
			got, err := resolver(t, using(s)+tc.conf+"\n", hosts).Lookup(tc.name, tc.families)
			if !errors.Is(err, tc.err) || err == nil && !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%+v, %v", got, err)
			}
			slices.Sort(s.asked)
			if asked := strings.Join(s.asked, ", "); tc.asked != "-" && asked != tc.asked {
				t.Errorf("it asked for %s", asked)
			}
		})
	}
}

func TestNextServerIsAsked(t *testing.T) {
	t.Parallel()
	good := newServer(t, zone{"x.test": {"192.0.2.1", "2001:db8::1"}})
	for name, bad := range map[string]zone{"silent": {"x.test": {"nothing"}}, "failing": {"x.test": {"servfail"}}, "refusing": {"x.test": {"refuse"}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, bad)
			begin := time.Now()
			got, err := resolver(t, using(s, good)+"options timeout:1\n", "").Lookup("x.test", both)
			if err != nil || len(got.Addrs) != 2 {
				t.Errorf("%v, %v", got, err)
			}
			if took := time.Since(begin); (took > time.Second) != (name == "silent") || took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Run("absent", func(t *testing.T) {
		t.Parallel()
		got, err := resolver(t, "nameserver 127.0.0.1:1\n"+using(good), "").Lookup("x.test", both)
		if err != nil || len(got.Addrs) != 2 {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// TestOneReplyIsEnough is about servers that do not answer for one kind.
func TestOneReplyIsEnough(t *testing.T) {
	t.Parallel()
	a := Answer{}
	questions, err := questionsFor("x.test.", both)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{zone: zone{"x.test": {"192.0.2.1"}}}
	if !questions[0].accept(s.replies(questions[0].message, "")[0]) {
		t.Fatal("not accepted")
	}
	if a, err = answer(questions, "x.test"); err != nil || len(a.Addrs) != 1 {
		t.Errorf("%v, %v", a, err)
	}
}

func TestConf(t *testing.T) {
	t.Parallel()
	server := func(list ...string) (out []netip.AddrPort) {
		for _, s := range list {
			out = append(out, netip.MustParseAddrPort(s))
		}
		return out
	}
	for text, want := range map[string]conf{
		"": {servers: server("127.0.0.1:53"), ndots: 1, timeout: 5 * time.Second, attempts: 2},
		"# a\n; b\nnameserver 10.0.0.1 # c\nnameserver fd00::1\nnameserver fe80::1%eth0\nnameserver x\nnameserver\nnameserver ::ffff:10.0.0.2\nnameserver 10.0.0.4\n" +
			"search a.test b.test.\noptions ndots:5 timeout:2 attempts:4 rotate unknown ndots:x": {
			servers: server("10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:53"), search: []string{"a.test", "b.test"},
			ndots: 5, timeout: 2 * time.Second, attempts: 4, rotate: true,
		},
		"options ndots:99 timeout:999 attempts:99\nsearch .": {servers: server("127.0.0.1:53"), ndots: 15, timeout: 30 * time.Second, attempts: 5},
		"options ndots:0 timeout:0 attempts:0 use-vc":        {servers: server("127.0.0.1:53"), ndots: 0, timeout: time.Second, attempts: 1, tcp: true},
	} {
		if got := parseConf(text); !reflect.DeepEqual(*got, want) {
			t.Errorf("%q: %+v", text, *got)
		}
	}
}

func TestServersTakeTurns(t *testing.T) {
	t.Parallel()
	c := parseConf("nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions rotate")
	first := map[netip.AddrPort]bool{}
	for range 100 {
		order := c.order()
		if len(order) != 4 || order[0] == order[1] || order[0] != order[2] {
			t.Fatal(order)
		}
		first[order[0]] = true
	}
	if len(first) != 2 {
		t.Error(first)
	}
}

func TestServices(t *testing.T) {
	t.Parallel()
	r := resolver(t, "", "")
	if err := os.WriteFile(r.Services, []byte("mine 1234/tcp my-own # x\nhttp 8/tcp\nbad 99999/tcp\nbad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, protocol string
		port           uint16
	}{{"mine", TCP, 1234}, {"my-own", TCP, 1234}, {"mine", UDP, 0}, {"http", TCP, 8}, {"https", TCP, 443}, {"domain", UDP, 53}, {"www", TCP, 80}, {"bad", TCP, 0}, {"", TCP, 0}} {
		if port, ok := r.Port(tc.name, tc.protocol); port != tc.port || ok != (tc.port != 0) {
			t.Errorf("%s/%s is %d, %t", tc.name, tc.protocol, port, ok)
		}
	}
}

func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none"), "/dev/null"} {
		if text := readFile(path); text != "" {
			t.Errorf("%s: %q", path, text)
		}
	}
	if n := len(readFile("/dev/zero")); n < maxFile || n > 2*maxFile {
		t.Errorf("%d bytes", n)
	}
}

func TestReachableAddressesComeFirst(t *testing.T) {
	t.Parallel()
	if !Reachable(netip.MustParseAddr("127.0.0.1")) || Reachable(netip.MustParseAddr("255.255.255.255")) {
		t.Error("reachable")
	}
	a := Answer{Addrs: addrs("255.255.255.255", "127.0.0.1", "127.0.0.2")}
	a.ReachableFirst()
	if !reflect.DeepEqual(a.Addrs, addrs("127.0.0.1", "127.0.0.2", "255.255.255.255")) {
		t.Error(a.Addrs)
	}
}

func FuzzReply(f *testing.F) {
	questions, err := questionsFor("x.test.", both)
	if err != nil {
		f.Fatal(err)
	}
	s := &server{zone: zone{"x.test": {"=y.test", "192.0.2.1", "2001:db8::1"}}}
	for _, q := range questions {
		f.Add(s.replies(q.message, "")[0])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, q := range questions {
			q.reply, q.truncated = nil, false
			if len(data) > 1 {
				data[0], data[1] = byte(q.id>>8), byte(q.id)
			}
			q.accept(data)
		}
		if a, _ := answer(questions, "x.test"); len(a.Addrs) > maxAddrs {
			t.Error(a)
		}
	})
}

func FuzzFiles(f *testing.F) {
	f.Add("nameserver 1.2.3.4\nsearch a\noptions ndots:2", "1.2.3.4 a b", "x")
	f.Fuzz(func(t *testing.T, conf, hosts, name string) {
		c := parseConf(conf)
		if len(c.servers) == 0 || len(c.servers) > maxServers || len(c.order()) > maxServers*maxAttempts {
			t.Error(c)
		}
		lookupHosts(hosts, name, both)
		for _, n := range c.candidates(name) {
			if !strings.HasSuffix(n, ".") {
				t.Errorf("%q", n)
			}
		}
	})
}

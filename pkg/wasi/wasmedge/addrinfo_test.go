package wasmedge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/wasmedge/resolve"
)

func testResolver(t *testing.T) resolve.Resolver {
	t.Helper()
	dir := t.TempDir()
	r := resolve.Resolver{Conf: filepath.Join(dir, "resolv.conf"), Hosts: filepath.Join(dir, "hosts"), Services: filepath.Join(dir, "services")}
	for path, text := range map[string]string{
		r.Conf:  "nameserver 127.0.0.1:1\noptions attempts:1\n",
		r.Hosts: "127.0.0.2 real.test both.test\n::1 both.test\n127.0.0.3 four.test\n255.255.255.255 far.test\n",
	} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return r
}

func (r result) String() string { return fmt.Sprintf("%s %v %s", r.name, r.at, r.canonical) }

func TestAddressesOfNames(t *testing.T) {
	t.Parallel()
	r := testResolver(t)
	stream := hints{kind: typeStream}
	for _, tc := range []struct {
		hints         hints
		node, service string
		want          string
		errno         preview1.Errno
	}{
		{stream, "both.test", "80", "tcp 127.0.0.2:80 , tcp [::1]:80 ", 0},
		{hints{}, "four.test", "80", "tcp 127.0.0.3:80 , udp 127.0.0.3:80 ", 0},
		{hints{protocol: protocolUDP, flags: aiCanonname}, "both.test", "domain", "udp 127.0.0.2:53 real.test, udp [::1]:53 ", 0},
		{hints{kind: typeStream, family: familyInet4}, "both.test", "https", "tcp 127.0.0.2:443 ", 0},
		{hints{kind: typeStream, family: familyInet6}, "both.test", "", "tcp [::1]:0 ", 0},
		{hints{kind: typeStream, family: familyInet6, flags: aiV4Mapped | aiAll}, "both.test", "1", "tcp [::1]:1 , tcp [::ffff:127.0.0.2]:1 ", 0},
		{hints{kind: typeStream, family: familyInet6, flags: aiV4Mapped}, "10.0.0.1", "1", "tcp [::ffff:10.0.0.1]:1 ", 0},
		{hints{kind: typeStream, flags: aiAddrConfig}, "far.test", "1", "", aiNoData},
		{hints{kind: typeStream, flags: aiAddrConfig}, "four.test", "1", "tcp 127.0.0.3:1 ", 0},
		{stream, "", "80", "tcp 127.0.0.1:80 , tcp [::1]:80 ", 0},
		{hints{kind: typeStream, flags: aiPassive}, "", "80", "tcp 0.0.0.0:80 , tcp [::]:80 ", 0},
		{hints{kind: typeStream, family: familyInet6, flags: aiPassive}, "", "80", "tcp [::]:80 ", 0},
		{stream, "2001:db8::1", "80", "tcp [2001:db8::1]:80 ", 0},
		{hints{kind: typeStream, flags: aiNumericHost | aiNumericService | aiCanonname}, "10.0.0.1", "80", "tcp 10.0.0.1:80 10.0.0.1", 0},
		{hints{kind: typeStream, flags: aiNumericHost}, "four.test", "80", "", aiNoName},
		{hints{kind: typeStream, flags: aiNumericService}, "four.test", "http", "", aiNoName},
		{stream, "four.test", "no-such-service", "", aiService},
		{stream, "four.test", "65536", "", aiService},
		{stream, "", "", "", aiNoName},
		{stream, "two words", "", "", aiNoName},
		{stream, "not.there", "1", "", aiAgain},
		{hints{flags: 128}, "x", "", "", aiBadFlags},
		{hints{flags: aiCanonname}, "", "1", "", aiBadFlags},
		{hints{family: familyUnix}, "x", "", "", aiFamily},
		{hints{kind: 3}, "x", "", "", aiSocktype},
		{hints{protocol: 3}, "x", "", "", aiSocktype},
		{hints{kind: typeStream, protocol: protocolUDP}, "x", "", "", aiSocktype},
		{hints{family: familyInet4}, "::1", "", "", aiAddrFamily},
		{hints{family: familyInet6}, "1.2.3.4", "", "", aiAddrFamily},
	} {
		t.Run(fmt.Sprintf("%v %s %s", tc.hints, tc.node, tc.service), func(t *testing.T) {
			t.Parallel()
			results, e := tc.hints.find(r, tc.node, tc.service)
			var got []string
			for _, x := range results {
				got = append(got, x.String())
			}
			if list := strings.Join(got, ", "); e != tc.errno || list != tc.want {
				t.Errorf("%q, %d", list, e)
			}
		})
	}
}

// info are the structs for one result, as a guest prepares them.
type info struct{ at, sockaddr, data, canonical uint64 }

// chain makes n of them. Lengths are of data, of the address before the call, and of
// the canonical name.
func (r *rig) chain(n, data, length, canonical int) (first uint64, list []info) {
	for range n {
		i := info{data: r.room(32), canonical: r.room(max(canonical, 1))}
		i.sockaddr = r.put(words(0, uint64(data), i.data))
		i.at = r.put(words(0, 0, uint64(length), i.sockaddr, i.canonical, uint64(canonical), 0))
		if len(list) > 0 {
			r.module.Memory().WriteUint32Le(uint32(list[len(list)-1].at)+infoNext, uint32(i.at))
		}
		list = append(list, i)
	}
	return r.put(words(list[0].at)), list
}

func (r *rig) text(s string) (at, size uint64) { return r.put([]byte(s)), uint64(len(s)) }

func TestGetaddrinfoFillsStructs(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, preview1.Config{})
	node, nodeLen := r.text("127.0.0.1\x00rest")
	six, sixLen := r.text("::1")
	service, serviceLen := r.text("8080\x00")
	hint := func(flags uint16, family, kind byte) uint64 {
		// Rust leaves what is behind a byte as it was.
		return r.put(append([]byte{byte(flags), byte(flags >> 8), family, kind, 0, 0xaa, 0xbb, 0xcc}, make([]byte, 20)...))
	}
	count := r.room(4)
	for _, tc := range []struct {
		name              string
		six               bool
		data, length      int
		want              string // of the data
		count, canonicals int
	}{
		{"the crate", false, 14, 0, "1f907f0000010000000000000000", 1, 0},
		{"C", false, 26, 0, "1f907f0000010000000000000000", 1, 30},
		{"as little as possible", false, 6, 0, "1f907f000001", 1, 0},
		{"too little", false, 5, 0, "", 0, 0},
		{"IPv6", true, 26, 0, "1f90" + "00000000" + strings.Repeat("00", 15) + "01" + "00000000", 1, 4},
		{"IPv6 of Go", true, 26, 16, "1f90" + strings.Repeat("00", 15) + "01" + strings.Repeat("00", 8), 1, 3},
		{"IPv6 of the crate", true, 14, 0, "", 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.t = t
			first, list := r.chain(2, tc.data, tc.length, tc.canonicals)
			n, size, family := node, nodeLen, byte(familyInet4)
			if tc.six {
				n, size, family = six, sixLen, familyInet6
			}
			r.ok("sock_getaddrinfo", n, size, service, serviceLen, hint(aiCanonname, 0, typeStream), first, 2, count)
			if got := r.u32(count); got != uint64(tc.count) {
				t.Fatalf("%d results", got)
			}
			if tc.count == 0 {
				return
			}
			i := list[0]
			length := r.u32(i.sockaddr + 4)
			if got := fmt.Sprintf("%x", r.read(i.data, int(length))); got != tc.want {
				t.Errorf("data %s", got)
			}
			b := r.read(i.at, infoSize)
			if b[infoFamily] != family || r.read(i.sockaddr, 1)[0] != family || b[infoType] != typeStream || binary.LittleEndian.Uint32(b[infoProtocol:]) != protocolTCP {
				t.Errorf("%x", b)
			}
			canonical := string(r.read(i.canonical, int(r.u32(i.at+infoCanonicalLength))))
			if want := map[int]string{0: "", 3: "", 4: "::1", 30: "127.0.0.1"}[tc.canonicals]; canonical != want {
				t.Errorf("canonical name %q", canonical)
			}
		})
	}
	r.t = t
	// Of four results, as many as there are structs, or as are asked for.
	first, _ := r.chain(3, 26, 0, 0)
	r.ok("sock_getaddrinfo", 0, 0, service, serviceLen, 0, first, 9, count)
	if got := r.u32(count); got != 3 {
		t.Errorf("%d results", got)
	}
	r.ok("sock_getaddrinfo", 0, 0, service, serviceLen, 0, first, 2, count)
	if got := r.u32(count); got != 2 {
		t.Errorf("%d results", got)
	}
	bad := uint64(outside)
	r.expect(preview1.EFAULT, "sock_getaddrinfo", bad, 1, service, serviceLen, 0, first, 1, count)
	r.expect(preview1.EFAULT, "sock_getaddrinfo", node, nodeLen, bad, 1, 0, first, 1, count)
	r.expect(preview1.EFAULT, "sock_getaddrinfo", node, nodeLen, service, serviceLen, bad, first, 1, count)
	r.expect(preview1.EFAULT, "sock_getaddrinfo", node, nodeLen, service, serviceLen, 0, bad, 1, count)
	r.expect(preview1.EFAULT, "sock_getaddrinfo", node, nodeLen, service, serviceLen, 0, first, 1, bad)
	r.expect(preview1.EFAULT, "sock_getaddrinfo", node, nodeLen, service, serviceLen, 0, r.put(words(outside)), 1, count)
	r.expect(preview1.EFAULT, "sock_getaddrinfo", node, nodeLen, service, serviceLen, 0, r.put(words(r.put(make([]byte, infoSize)))), 1, count)
	r.expect(aiMemory, "sock_getaddrinfo", node, nodeLen, service, serviceLen, 0, first, 0, count)
	r.expect(aiNoName, "sock_getaddrinfo", node, maxText+1, service, serviceLen, 0, first, 1, count)
	r.expect(aiBadFlags, "sock_getaddrinfo", node, nodeLen, service, serviceLen, hint(1<<15, 0, 0), first, 1, count)
}

func FuzzAddressData(f *testing.F) {
	f.Add(home4, 0, 14)
	f.Add(home6, 16, 26)
	f.Fuzz(func(t *testing.T, ip []byte, before, room int) {
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			return
		}
		data, length := addressData(result{at: netip.AddrPortFrom(a, 258)}, before, room)
		if data[0] != 1 || data[1] != 2 || len(data)+2 > length {
			t.Errorf("%x, %d", data, length)
		}
	})
}

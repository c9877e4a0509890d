package resolve

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is what a server of a test knows: lists of records by a name without the
// final dot, each an address, an alias ("=other") or what to do ("nothing",
// "servfail", "truncate", "lie", "refuse").
type zone map[string][]string

// server is a name server. It notes the questions by UDP, and those by TCP with
// "tcp " before them.
type server struct {
	zone zone
	addr netip.AddrPort

	mu    sync.Mutex
	asked []string
}

func newServer(t *testing.T, z zone) *server {
	t.Helper()
	udp, tcp := listenAtBoth(t)
	t.Cleanup(func() { udp.Close(); tcp.Close() })
	s := &server{zone: z, addr: netip.MustParseAddrPort(udp.LocalAddr().String())}
	go s.serveUDP(udp)
	go s.serveTCP(tcp)
	return s
}

// listenAtBoth has one port for two protocols, of which the kernel chooses for one only.
func listenAtBoth(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	var err error
	for range 100 {
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			break
		}
		var tcp net.Listener
		if tcp, err = net.Listen("tcp", udp.LocalAddr().String()); err == nil {
			return udp, tcp
		}
		udp.Close()
	}
	t.Fatal(err)
	return nil, nil
}

func (s *server) serveUDP(c net.PacketConn) {
	b := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		for _, reply := range s.replies(b[:n], "") {
			_, _ = c.WriteTo(reply, from)
		}
	}
}

func (s *server) serveTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		var size [2]byte
		_, _ = io.ReadFull(c, size[:])
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		_, _ = io.ReadFull(c, b)
		for _, reply := range s.replies(b, "tcp ") {
			whole := append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)
			for _, part := range [][]byte{whole[:1], whole[1:5], whole[5:]} { // as it may come
				_, _ = c.Write(part)
			}
		}
		c.Close()
	}
}

func (s *server) replies(query []byte, by string) (replies [][]byte) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		panic(err)
	}
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	s.mu.Lock()
	s.asked = append(s.asked, fmt.Sprintf("%s%s %s", by, name, strings.TrimPrefix(q.Type.String(), "Type")))
	s.mu.Unlock()
	m.Response = true
	send := func(m dnsmessage.Message) {
		data, err := m.Pack()
		if err != nil {
			panic(err)
		}
		replies = append(replies, data)
	}
	records, known := s.zone[name]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	owner := q.Name
	for _, r := range records {
		header := dnsmessage.ResourceHeader{Name: owner, Class: dnsmessage.ClassINET}
		switch r {
		case "nothing":
			return nil
		case "servfail":
			m.RCode = dnsmessage.RCodeServerFailure
		case "refuse":
			m.RCode = dnsmessage.RCodeRefused
		case "truncate":
			m.Truncated = by == ""
		case "lie":
			lie := m
			lie.ID++
			send(lie)
			lie.ID--
			lie.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("other."), Type: q.Type, Class: q.Class}}
			send(lie)
			replies = append(replies, []byte("no message"))
		default:
			if alias, ok := strings.CutPrefix(r, "="); ok {
				to := dnsmessage.MustNewName(alias + ".")
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: to}})
				owner = to
				continue
			}
			a := netip.MustParseAddr(r)
			switch {
			case a.Is4() && q.Type == dnsmessage.TypeA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
			case a.Is6() && q.Type == dnsmessage.TypeAAAA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
			}
		}
	}
	send(m)
	return replies
}

package resolve

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// query asks the servers for a full name.
func (c *conf) query(name string, f Families) (Answer, error) {
	all, err := questionsFor(name, f)
	questions := all
	if err != nil {
		return Answer{}, ErrNoName
	}
	for _, server := range c.order() {
		if questions = c.exchange(server, questions); len(questions) == 0 {
			break
		}
	}
	a, err := answer(all, strings.TrimSuffix(name, "."))
	if err != nil && len(questions) > 0 { // what is missing may be the address
		err = ErrAgain
	}
	return a, err
}

// order is in which the servers are asked, all of them once in each attempt.
func (c *conf) order() []netip.AddrPort {
	first := 0
	if c.rotate {
		first = int(random16()) % len(c.servers)
	}
	once := slices.Concat(c.servers[first:], c.servers[:first])
	return slices.Repeat(once, c.attempts)
}

// question is one, and what came back.
type question struct {
	id      uint16
	asked   dnsmessage.Question
	message []byte
	reply   *dnsmessage.Message // the last one, or nil
	// truncated tells that the reply was longer than a datagram.
	truncated bool
}

func questionsFor(name string, f Families) (list []*question, err error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, err
	}
	for _, t := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		if t == dnsmessage.TypeA && !f.V4 || t == dnsmessage.TypeAAAA && !f.V6 {
			continue
		}
		q := &question{id: random16(), asked: dnsmessage.Question{Name: n, Type: t, Class: dnsmessage.ClassINET}}
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.id, RecursionDesired: true}, Questions: []dnsmessage.Question{q.asked}}
		if q.message, err = m.Pack(); err != nil {
			return nil, err
		}
		list = append(list, q)
	}
	return list, nil
}

func random16() uint16 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint16(b[:])
}

// accept takes a message if it is the reply.
func (q *question) accept(data []byte) bool {
	var p dnsmessage.Parser
	header, err := p.Start(data)
	if err != nil || header.ID != q.id || !header.Response {
		return false
	}
	asked, err := p.Question()
	if err != nil || asked.Type != q.asked.Type || asked.Class != q.asked.Class || !strings.EqualFold(asked.Name.String(), q.asked.Name.String()) {
		return false
	}
	if q.truncated = header.Truncated; q.truncated {
		return true
	}
	var m dnsmessage.Message
	if m.Unpack(data) != nil {
		return false
	}
	q.reply = &m
	return true
}

// useful tells whether the reply answers the question. A server that cannot do so
// is like one that says nothing.
func (q *question) useful() bool {
	return q.reply != nil && (q.reply.RCode == dnsmessage.RCodeSuccess || q.reply.RCode == dnsmessage.RCodeNameError)
}

// maxAddrs bounds the addresses of a name.
const maxAddrs = 64

// answer collects what all useful replies say.
func answer(questions []*question, name string) (Answer, error) {
	a := Answer{Canonical: name}
	known := false
	for _, q := range questions {
		if !q.useful() {
			continue
		}
		known = known || q.reply.RCode == dnsmessage.RCodeSuccess
		for _, r := range q.reply.Answers {
			var addr netip.Addr
			if r.Header.Type != q.asked.Type || len(a.Addrs) == maxAddrs {
				continue // a CNAME, after which come the records of the other name
			}
			switch body := r.Body.(type) {
			case *dnsmessage.AResource:
				addr = netip.AddrFrom4(body.A)
			case *dnsmessage.AAAAResource:
				addr = netip.AddrFrom16(body.AAAA)
			}
			a.Addrs = append(a.Addrs, addr)
			a.Canonical = strings.TrimSuffix(r.Header.Name.String(), ".")
		}
	}
	switch {
	case len(a.Addrs) > 0 || known:
		return a.orNoData()
	default:
		return a, ErrNoName
	}
}

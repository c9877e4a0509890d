package resolve

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
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
	reply   *reply // the last one, or nil
	// truncated tells that the reply was longer than a datagram.
	truncated bool
}

// reply is what a server says. dnsmessage.Message would hold all of it, and link maps of
// names which every process of the binary would have to make first.
type reply struct {
	code    dnsmessage.RCode
	records []record // maxAddrs at most
}

// record is an address with the name that has it.
type record struct {
	name string
	addr netip.Addr
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
		if q.message, err = q.pack(); err != nil {
			return nil, err
		}
		list = append(list, q)
	}
	return list, nil
}

func (q *question) pack() ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: q.id, RecursionDesired: true})
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(q.asked); err != nil {
		return nil, err
	}
	return b.Finish()
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
	r := &reply{code: header.RCode}
	if p.SkipAllQuestions() != nil || r.read(&p, q.asked.Type) != nil {
		return false
	}
	q.reply = r
	return true
}

// read reads the records of a type. The others are CNAMEs, after which come the records
// of the other name.
func (r *reply) read(p *dnsmessage.Parser, t dnsmessage.Type) error {
	for len(r.records) < maxAddrs {
		h, err := p.AnswerHeader()
		switch {
		case errors.Is(err, dnsmessage.ErrSectionDone):
			return nil
		case err != nil:
			return err
		case h.Type != t || h.Class != dnsmessage.ClassINET:
			if err := p.SkipAnswer(); err != nil {
				return err
			}
			continue
		}
		addr, err := address(p, t)
		if err != nil {
			return err
		}
		r.records = append(r.records, record{strings.TrimSuffix(h.Name.String(), "."), addr})
	}
	return nil
}

func address(p *dnsmessage.Parser, t dnsmessage.Type) (netip.Addr, error) {
	if t == dnsmessage.TypeA {
		body, err := p.AResource()
		return netip.AddrFrom4(body.A), err
	}
	body, err := p.AAAAResource()
	return netip.AddrFrom16(body.AAAA), err
}

// useful tells whether the reply answers the question. A server that cannot do so
// is like one that says nothing.
func (q *question) useful() bool {
	return q.reply != nil && (q.reply.code == dnsmessage.RCodeSuccess || q.reply.code == dnsmessage.RCodeNameError)
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
		known = known || q.reply.code == dnsmessage.RCodeSuccess
		for _, r := range q.reply.records {
			if len(a.Addrs) == maxAddrs {
				break
			}
			a.Addrs = append(a.Addrs, r.addr)
			a.Canonical = r.name
		}
	}
	switch {
	case len(a.Addrs) > 0 || known:
		return a.orNoData()
	default:
		return a, ErrNoName
	}
}

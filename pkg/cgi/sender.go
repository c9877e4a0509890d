package cgi

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"time"
)

// lull is how long an instance writes nothing before what it has written is sent.
const lull = 5 * time.Millisecond

// sender sends an answer while it is being written. It holds back the beginning for a
// moment: short answers have a length then, and one of an instance that traps is taken
// back.
type sender struct {
	*exchange
	answer *answer
	begun  bool
	count  int64
	// endless tells that the connection is reset unless the answer ends well.
	endless bool
}

// send sends the header, and what follows in r.
func (s *sender) send(r io.Reader) error {
	buffer := make([]byte, 0, bufferSize)
	for {
		n, err := s.fill(r, buffer)
		buffer = buffer[:n]
		switch {
		case errors.Is(err, io.EOF):
			return s.finish(buffer)
		case errors.Is(err, errSilent) && s.complete:
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return s.failed(err, s.begun)
		}
		if err := s.write(buffer, true); err != nil {
			return err
		}
		buffer = buffer[:0]
	}
}

// fill reads until the buffer is full, or the instance writes nothing for a moment.
func (s *sender) fill(r io.Reader, buffer []byte) (int, error) {
	all := buffer[:cap(buffer)]
	// The first bytes may be in r already, which otherwise only asks the exchange.
	n, err := r.Read(all)
	for err == nil && n < len(all) {
		var more int
		more, err = s.read(all[n:], lull)
		n += more
	}
	return n, err
}

// write sends some bytes.
func (s *sender) write(b []byte, flush bool) error {
	s.mayWrite(s.visit)
	if !s.begun {
		s.begun = true
		maps.Copy(s.w.Header(), s.answer.header)
		s.begins()
		if flush && s.headerOnly() {
			// The client has its answer, and should not wait here with its next request for
			// the end of a program of which it knows nothing. When it leaves, the program
			// is told.
			s.w.Header().Set("Connection", "close")
		}
		s.w.WriteHeader(s.answer.status)
		if s.endless = flush && s.endsWithConnection(); s.endless {
			s.conn().setResets(true)
		}
	}
	s.count += int64(len(b))
	if s.headerOnly() {
		return s.writeNothing(flush)
	}
	if _, err := s.w.Write(b); errors.Is(err, http.ErrContentLength) {
		return s.failed(errors.New("its answer is longer than it says"), true)
	} else if err != nil {
		return errGone
	}
	if flush && s.client.Flush() != nil {
		return errGone
	}
	s.touch()
	return nil
}

// endsWithConnection tells that the client takes the end of the connection for that of the
// answer: HTTP/1.0 has no other way to tell of one whose length is not known before.
func (s *sender) endsWithConnection() bool {
	return !s.r.ProtoAtLeast(1, 1) && s.answer.header.Get("Content-Length") == "" && !s.headerOnly()
}

// headerOnly tells that the answer has no body, whatever the program writes.
func (s *sender) headerOnly() bool {
	return s.target.method == http.MethodHead || bodiless(s.answer.status)
}

// writeNothing sends the header. From then on nothing happens for the client any more:
// what the program writes does not let it go on.
func (s *sender) writeNothing(flush bool) error {
	if !flush || s.complete {
		return nil
	}
	s.touch()
	s.complete = true
	if s.client.Flush() != nil {
		return errGone
	}
	return nil
}

// finish sends the rest, if the instance has ended well.
func (s *sender) finish(rest []byte) error {
	e, err := s.wait()
	if err == nil {
		err = e.err
	}
	if err != nil {
		return s.failed(err, s.begun)
	}
	// What net/http sends after this could be cut unseen.
	if err := s.write(rest, s.endless); err != nil {
		return err
	}
	length := s.answer.header.Get("Content-Length")
	if length != "" && length != strconv.FormatInt(s.count, 10) && !s.headerOnly() {
		return s.failed(fmt.Errorf("its answer has %d bytes, but says %s", s.count, length), true)
	}
	if s.endless {
		s.conn().setResets(false)
	}
	return nil
}

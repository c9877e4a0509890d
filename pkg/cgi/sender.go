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

const (
	// lull is how long an instance writes nothing before what it has written is sent.
	lull = 5 * time.Millisecond
	// headerPause is how long an answer without a body waits for the end of its program,
	// after which the connection can be used again.
	headerPause = 200 * time.Millisecond
)

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
	if s.headerOnly() {
		return s.sendHeader()
	}
	buffer := make([]byte, 0, bufferSize)
	for {
		n, err := s.fill(r, buffer)
		buffer = buffer[:n]
		switch {
		case errors.Is(err, io.EOF):
			return s.finish(buffer)
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
		s.w.WriteHeader(s.answer.status)
		if s.endless = flush && s.endsWithConnection(); s.endless {
			s.conn().setResets(true)
		}
	}
	s.count += int64(len(b))
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

// sendHeader sends an answer that has no body. One that would have one, or that the client
// has already, does not wait for long for the end of its program: with 204 that is the
// news.
func (s *sender) sendHeader() error {
	early := s.answer.status != http.StatusNoContent
	begin := time.Now()
	unwanted := make([]byte, headerBuffer)
	for {
		most := forever
		if early && !s.complete {
			most = max(headerPause-time.Since(begin), 0)
		}
		_, err := s.read(unwanted, most)
		switch {
		case errors.Is(err, io.EOF):
			return s.finish(nil)
		case errors.Is(err, errSilent) && s.complete:
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return s.failed(err, s.begun)
		case early && !s.complete && time.Since(begin) >= headerPause:
			if err := s.headerIsAll(); err != nil {
				return err
			}
		}
	}
}

// headerIsAll sends the header while the program goes on. From then on nothing happens for
// the client any more: what the program writes does not let it go on.
func (s *sender) headerIsAll() error {
	s.complete = true
	// The client should not wait here with its next request for the end of a program of
	// which it knows nothing. When it leaves, the program is told.
	s.w.Header().Set("Connection", "close")
	return s.write(nil, true)
}

// headerOnly tells that the answer has no body, whatever the program writes.
func (s *sender) headerOnly() bool {
	return s.target.method == http.MethodHead || bodiless(s.answer.status)
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

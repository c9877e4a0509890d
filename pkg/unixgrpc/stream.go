package unixgrpc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Frames of HTTP/2, RFC 9113 section 6.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePush         = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8
	frameContinuation = 0x9

	flagEndStream  = 0x1 // of DATA and HEADERS
	flagAck        = 0x1 // of SETTINGS and PING
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	settingEnablePush    = 0x2
	settingInitialWindow = 0x4

	preface   = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameSize = 9       // of a frame's header, in bytes
	maxFrame  = 1 << 14 // of a frame's payload, unless settings say otherwise
	streamID  = 1       // the only one of a connection

	// window is how many bytes the server may send before we have consumed
	// any. It gets more when half of it is used.
	window = 1 << 20
	// initialWindow is what a connection has before any WINDOW_UPDATE.
	initialWindow = 1<<16 - 1
	// maxHeaders bounds the headers and the trailers of an answer, in bytes.
	maxHeaders = 64 << 10
	// greeting is how long the server may take for its first frame, which it
	// sends unasked. Whoever is silent speaks another protocol.
	greeting = 10 * time.Second
	// silence is how long it may say nothing later on.
	silence = time.Minute
	// messageHeader precedes every message of gRPC: a flag and the length.
	messageHeader = 5
)

// Stream is a call whose answers are read one after the other, by one goroutine.
type Stream struct {
	ctx    context.Context
	stop   func() bool // that ctx closes the connection
	conn   net.Conn
	r      *bufio.Reader
	method string

	patience time.Duration // with the server, until the next frame
	headers  *hpack.Decoder
	answered bool // the headers of the answer have come
	ended    bool // and the trailers
	ending   ending
	used     uint32       // of the window
	data     bytes.Buffer // of messages that are not complete
	err      error        // what every further Recv returns
}

func newStream(ctx context.Context, conn net.Conn, method string, patience time.Duration) *Stream {
	s := &Stream{ctx: ctx, conn: conn, r: bufio.NewReaderSize(conn, 64<<10), method: method, patience: patience}
	s.headers = hpack.NewDecoder(4096, nil)
	s.headers.SetMaxStringLength(maxHeaders)
	s.stop = context.AfterFunc(ctx, func() { conn.Close() })
	return s
}

// Close ends the call, at whatever point it is.
func (s *Stream) Close() {
	s.stop()
	s.conn.Close()
}

// send writes everything that a call with one request consists of.
func (s *Stream) send(request []byte, metadata map[string]string) error {
	var b bytes.Buffer
	b.WriteString(preface)
	settings := binary.BigEndian.AppendUint16(nil, settingEnablePush)
	settings = binary.BigEndian.AppendUint32(settings, 0)
	settings = binary.BigEndian.AppendUint16(settings, settingInitialWindow)
	settings = binary.BigEndian.AppendUint32(settings, window)
	putFrame(&b, frameSettings, 0, 0, settings)
	putFrame(&b, frameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, window-initialWindow))
	putFrame(&b, frameHeaders, flagEndHeaders, streamID, requestHeaders(s.method, metadata))

	message := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request)))
	message = append(message, request...)
	if len(message) > maxFrame {
		// It would also need the server's permission, which this client does
		// not wait for.
		return fmt.Errorf("a request of %d bytes is too long", len(request))
	}
	putFrame(&b, frameData, flagEndStream, streamID, message)
	if err := s.conn.SetDeadline(time.Now().Add(s.patience)); err != nil {
		return err
	}
	_, err := s.conn.Write(b.Bytes())
	return err
}

func requestHeaders(method string, metadata map[string]string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	put := func(name, value string) {
		_ = e.WriteField(hpack.HeaderField{Name: name, Value: value}) // to memory
	}
	put(":method", "POST")
	put(":scheme", "http")
	put(":path", method)
	put(":authority", "localhost")
	put("content-type", "application/grpc")
	put("te", "trailers")
	for name, value := range metadata {
		put(name, value)
	}
	return b.Bytes()
}

func putFrame(b *bytes.Buffer, kind, flags byte, stream uint32, payload []byte) {
	n := len(payload)
	b.Write([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags})
	_ = binary.Write(b, binary.BigEndian, stream)
	b.Write(payload)
}

// Recv returns the next answer, or io.EOF after the last one if the call
// succeeded. Whatever it returns is the caller's.
func (s *Stream) Recv() ([]byte, error) {
	for s.err == nil {
		message, err := s.message()
		if err != nil {
			s.err = s.explain(err)
			break
		}
		if message != nil {
			return message, nil
		}
		if s.ended {
			s.err = s.end()
			break
		}
		if err := s.frame(); err != nil {
			s.err = s.explain(err)
		}
	}
	return nil, s.err
}

// message takes a message from the data that have come; nil if it is not
// complete.
func (s *Stream) message() ([]byte, error) {
	head := s.data.Bytes()
	if len(head) < messageHeader {
		return nil, nil
	}
	if head[0] != 0 {
		return nil, errors.New("the answer is compressed, which was not asked for")
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxMessage {
		return nil, fmt.Errorf("an answer of %d bytes is too long", n)
	}
	if len(head) < messageHeader+int(n) {
		return nil, nil
	}
	s.data.Next(messageHeader)
	message := make([]byte, n)
	copy(message, s.data.Next(int(n)))
	return message, nil
}

// end is what the trailers mean.
func (s *Stream) end() error {
	if err := s.ending.err(); err != nil {
		return err
	}
	if s.data.Len() > 0 {
		return s.explain(errors.New("the answer ends in the middle of a message"))
	}
	return io.EOF
}

// frame reads a frame and does what it asks for.
func (s *Stream) frame() error {
	kind, flags, stream, payload, err := s.readFrame()
	if err != nil {
		return err
	}
	switch kind {
	case frameSettings:
		if flags&flagAck == 0 {
			return s.write(frameSettings, flagAck, nil)
		}
	case framePing:
		if flags&flagAck == 0 {
			return s.write(framePing, flagAck, payload)
		}
	case frameGoAway:
		if len(payload) >= 8 && binary.BigEndian.Uint32(payload)&^(1<<31) < streamID {
			return fmt.Errorf("the server refused the connection (HTTP/2 error %d)", binary.BigEndian.Uint32(payload[4:]))
		}
	case framePush:
		return errors.New("the server pushes, which was forbidden")
	}
	if stream != streamID {
		return nil
	}
	switch kind {
	case frameReset:
		if len(payload) < 4 {
			return errors.New("the server ended the call")
		}
		return fmt.Errorf("the server ended the call (HTTP/2 error %d)", binary.BigEndian.Uint32(payload))
	case frameHeaders:
		return s.readHeaders(flags, payload)
	case frameData:
		return s.readData(flags, payload)
	}
	return nil
}

func (s *Stream) readFrame() (kind, flags byte, stream uint32, payload []byte, err error) {
	if err = s.conn.SetDeadline(time.Now().Add(s.patience)); err != nil {
		return 0, 0, 0, nil, err
	}
	var h [frameSize]byte
	if _, err = io.ReadFull(s.r, h[:]); err != nil {
		return 0, 0, 0, nil, err
	}
	s.patience = silence
	n := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
	if n > maxFrame {
		return 0, 0, 0, nil, errors.New("it does not speak gRPC")
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(s.r, payload)
	return h[3], h[4], binary.BigEndian.Uint32(h[5:]) &^ (1 << 31), payload, err
}

func (s *Stream) readData(flags byte, payload []byte) error {
	if !s.answered {
		return errors.New("data come before the headers")
	}
	used := uint32(len(payload))
	payload, err := unpad(flags, payload)
	if err != nil {
		return err
	}
	s.data.Write(payload)
	if flags&flagEndStream != 0 {
		return errors.New("the answer ends without a status")
	}
	return s.use(used)
}

// use counts what the server has sent and lets it send more.
func (s *Stream) use(n uint32) error {
	s.used += n
	if s.used < window/2 {
		return nil
	}
	more := binary.BigEndian.AppendUint32(nil, s.used)
	s.used = 0
	var b bytes.Buffer
	putFrame(&b, frameWindowUpdate, 0, 0, more)
	putFrame(&b, frameWindowUpdate, 0, streamID, more)
	_, err := s.conn.Write(b.Bytes())
	return err
}

func (s *Stream) readHeaders(flags byte, block []byte) error {
	ended := flags&flagEndStream != 0
	block, err := unpad(flags, block)
	if err != nil {
		return err
	}
	if flags&flagPriority != 0 {
		if len(block) < 5 {
			return errMalformed
		}
		block = block[5:]
	}
	for flags&flagEndHeaders == 0 {
		var kind byte
		var more []byte
		if kind, flags, _, more, err = s.readFrame(); err != nil {
			return err
		}
		if block = append(block, more...); kind != frameContinuation || len(block) > maxHeaders {
			return errMalformed
		}
	}
	var fields fields
	s.headers.SetEmitFunc(fields.add)
	if _, err := s.headers.Write(block); err != nil {
		return errMalformed
	}
	if err := s.headers.Close(); err != nil || fields.size > maxHeaders {
		return errMalformed
	}
	if !s.answered {
		if fields.http != "200" {
			return fmt.Errorf("the answer has HTTP status %q", fields.http)
		}
		s.answered = true
	}
	if ended {
		s.ended, s.ending = true, fields.ending
	}
	return nil
}

var errMalformed = errors.New("the answer is malformed")

// fields are the header fields that mean something to us.
type fields struct {
	http   string
	ending ending
	size   int
}

func (f *fields) add(h hpack.HeaderField) {
	f.size += len(h.Name) + len(h.Value)
	switch h.Name {
	case ":status":
		f.http = h.Value
	case "grpc-status":
		if n, err := strconv.ParseUint(h.Value, 10, 32); err == nil {
			f.ending.code, f.ending.known = uint32(n), true
		}
	case "grpc-message":
		f.ending.message = decodeMessage(h.Value)
	}
}

// unpad removes the padding that a frame may have.
func unpad(flags byte, payload []byte) ([]byte, error) {
	if flags&flagPadded == 0 {
		return payload, nil
	}
	if len(payload) == 0 || int(payload[0]) >= len(payload) {
		return nil, errMalformed
	}
	return payload[1 : len(payload)-int(payload[0])], nil
}

func (s *Stream) write(kind, flags byte, payload []byte) error {
	var b bytes.Buffer
	putFrame(&b, kind, flags, 0, payload)
	_, err := s.conn.Write(b.Bytes())
	return err
}

// explain adds what was called, and tells a call that was cancelled from one
// that failed.
func (s *Stream) explain(err error) error {
	if ctxErr := context.Cause(s.ctx); ctxErr != nil {
		return ctxErr
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("the server says nothing for %s: is it one of gRPC?", s.patience)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the server closed the connection")
	}
	return fmt.Errorf("%s: %w", s.method, err)
}

package unixgrpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// script is a server that has said everything before it is asked.
type script struct {
	net.Conn
	io.Reader
	written bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)  { return s.Reader.Read(p) }
func (s *script) Write(p []byte) (int, error) { return s.written.Write(p) }
func (s *script) Close() error                { return nil }
func (s *script) SetDeadline(time.Time) error { return nil }

// answers reads a scripted answer to its end.
func answers(t testing.TB, said []byte) ([][]byte, *script, error) {
	conn := &script{Reader: bytes.NewReader(said)}
	s := newStream(t.Context(), conn, "/p.S/M", greeting)
	defer s.Close()
	var all [][]byte
	for {
		m, err := s.Recv()
		if err != nil {
			return all, conn, err
		}
		all = append(all, m)
	}
}

func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	var b bytes.Buffer
	putFrame(&b, kind, flags, stream, payload)
	return b.Bytes()
}

func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

func message(s string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(s))), s...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

var (
	begin   = frame(frameHeaders, flagEndHeaders, 1, block(":status", "200", "content-type", "application/grpc")...)
	success = frame(frameHeaders, flagEndHeaders|flagEndStream, 1, block("grpc-status", "0")...)
)

func TestEveryFormOfFramesIsUnderstood(t *testing.T) {
	t.Parallel()
	headers := block(":status", "200", "x", strings.Repeat("long", 5000))
	two := append(message("a"), message("b")...)
	for name, said := range map[string][]byte{
		"plain":           join(begin, frame(frameData, 0, 1, two...), success),
		"a byte at once":  join(begin, bytes.Join(chop(two), nil), success),
		"padded":          join(begin, frame(frameData, flagPadded, 1, append(append([]byte{3}, two...), 0, 0, 0)...), success),
		"priority":        join(frame(frameHeaders, flagEndHeaders|flagPriority, 1, append(make([]byte, 5), block(":status", "200")...)...), frame(frameData, 0, 1, two...), success),
		"continuation":    join(frame(frameHeaders, 0, 1, headers[:100]...), frame(frameContinuation, 0, 1, headers[100:9000]...), frame(frameContinuation, flagEndHeaders, 1, headers[9000:]...), frame(frameData, 0, 1, two...), success),
		"between others":  join(frame(frameSettings, 0, 0), frame(framePing, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8), begin, frame(frameWindowUpdate, 0, 0, 0, 0, 1, 0), frame(0xbe, 0, 0, 1), frame(frameData, 0, 1, two...), frame(frameData, 0, 3, 9), success),
		"graceful goaway": join(begin, frame(frameGoAway, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0), frame(frameData, 0, 1, two...), success),
	} {
		got, conn, err := answers(t, said)
		if !errors.Is(err, io.EOF) || len(got) != 2 || string(got[0]) != "a" || string(got[1]) != "b" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if name == "between others" {
			want := join(frame(frameSettings, flagAck, 0), frame(framePing, flagAck, 0, 1, 2, 3, 4, 5, 6, 7, 8))
			if !bytes.Equal(conn.written.Bytes(), want) {
				t.Errorf("wrote %x", conn.written.Bytes())
			}
		}
	}
}

// chop makes a frame of each byte.
func chop(data []byte) [][]byte {
	var frames [][]byte
	for _, b := range data {
		frames = append(frames, frame(frameData, 0, 1, b))
	}
	return frames
}

func TestNonsenseIsAnError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		said []byte
		want string
	}{
		"nothing":           {nil, "closed the connection"},
		"http":              {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak gRPC"},
		"cut":               {join(begin, frame(frameData, 0, 1, 0, 0, 0, 0, 9)), "closed the connection"},
		"cut frame":         {begin[:len(begin)-1], "closed the connection"},
		"half a message":    {join(begin, frame(frameData, 0, 1, 0, 0, 0, 0, 9), success), "middle of a message"},
		"no status":         {join(begin, frame(frameData, flagEndStream, 1)), "without a status"},
		"status missing":    {join(begin, frame(frameHeaders, flagEndHeaders|flagEndStream, 1)), "without a status"},
		"status not number": {join(begin, frame(frameHeaders, flagEndHeaders|flagEndStream, 1, block("grpc-status", "x")...)), "without a status"},
		"http error":        {frame(frameHeaders, flagEndHeaders|flagEndStream, 1, block(":status", "503")...), `"503"`},
		"data first":        {frame(frameData, 0, 1, 1), "before the headers"},
		"compressed":        {join(begin, frame(frameData, 0, 1, 1, 0, 0, 0, 0)), "compressed"},
		"endless message":   {join(begin, frame(frameData, 0, 1, 0, 0xff, 0xff, 0xff, 0xff)), "too long"},
		"push":              {frame(framePush, 0, 1), "forbidden"},
		"reset":             {join(begin, frame(frameReset, 0, 1, 0, 0, 0, 7)), "error 7"},
		"short reset":       {join(begin, frame(frameReset, 0, 1)), "ended the call"},
		"goaway":            {frame(frameGoAway, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11), "error 11"},
		"padding":           {join(begin, frame(frameData, flagPadded, 1, 9)), "malformed"},
		"no padding":        {join(begin, frame(frameData, flagPadded, 1)), "malformed"},
		"short priority":    {frame(frameHeaders, flagEndHeaders|flagPriority, 1), "malformed"},
		"hpack":             {frame(frameHeaders, flagEndHeaders, 1, 0xff, 0xff, 0xff, 0xff), "malformed"},
		"other frame":       {join(frame(frameHeaders, 0, 1), frame(frameData, 0, 1)), "malformed"},
		"endless headers":   {join(frame(frameHeaders, 0, 1), bytes.Repeat(frame(frameContinuation, 0, 1, make([]byte, maxFrame)...), 5)), "malformed"},
		// A few bytes refer again and again to a long field of the table.
		"headers as a bomb": {frame(frameHeaders, flagEndHeaders, 1, append(block("x", strings.Repeat("x", 4000)), bytes.Repeat([]byte{0x80 | 62}, 1000)...)...), "malformed"},
	} {
		got, _, err := answers(t, tc.said)
		if err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), tc.want) || len(got) > 0 {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// The server must not run out of what it may send.
func TestWindowIsReplenished(t *testing.T) {
	t.Parallel()
	const frames = 1000
	said := join(begin, bytes.Repeat(frame(frameData, 0, 1, message(strings.Repeat("x", 10000))...), frames), success)
	got, conn, err := answers(t, said)
	if !errors.Is(err, io.EOF) || len(got) != frames {
		t.Fatalf("%d answers, %v", len(got), err)
	}
	given := map[uint32]uint32{}
	for w := conn.written.Bytes(); len(w) > 0; w = w[frameSize+4:] {
		if w[3] != frameWindowUpdate {
			t.Fatalf("wrote %x", w)
		}
		given[binary.BigEndian.Uint32(w[5:])] += binary.BigEndian.Uint32(w[frameSize:])
	}
	for _, stream := range []uint32{0, 1} {
		if sent := uint32(frames * (10000 + messageHeader)); sent-given[stream] > window/2 {
			t.Errorf("stream %d: sent %d, got back %d", stream, sent, given[stream])
		}
	}
}

func TestMessageOfAStatusIsDecoded(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "plain": "plain", "a%20b": "a b", "100%25": "100%", "%": "%", "%2": "%2", "%zz%41": "%zzA", "%c3%bc": "ü",
	} {
		if got := decodeMessage(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(join(begin, frame(frameData, 0, 1, message("a")...), success))
	f.Add(join(frame(frameSettings, 0, 0), frame(framePing, 0, 0, 1), frame(frameHeaders, 0, 1, 0x88), frame(frameContinuation, flagEndHeaders, 1), frame(frameGoAway, 0, 0), success))
	f.Add(join(begin, frame(frameData, flagPadded, 1, 1, 0), frame(frameReset, 0, 1)))
	f.Fuzz(func(t *testing.T, said []byte) {
		done := time.AfterFunc(10*time.Second, func() { panic("endless") })
		defer done.Stop()
		got, conn, err := answers(t, said)
		if err == nil {
			t.Fatal("no end")
		}
		total := 0
		for _, m := range got {
			total += len(m)
		}
		if total > len(said) || conn.written.Len() > len(said)+frameSize {
			t.Fatalf("%d bytes became %d, and %d written", len(said), total, conn.written.Len())
		}
	})
}

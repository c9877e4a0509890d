package unixgrpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// serve runs a real gRPC server whose only service answers as handle says.
func serve(t *testing.T, handle grpc.StreamHandler, opts ...grpc.ServerOption) *Client {
	t.Helper()
	// Paths of sockets are short, those of tests need not be.
	dir, err := os.MkdirTemp("", "ug-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	must(t, err)
	server := grpc.NewServer(append(opts, grpc.UnknownServiceHandler(handle))...)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return &Client{Socket: socket, Metadata: map[string]string{"containerd-namespace": "ns"}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// request receives what the client sent.
func request(t *testing.T, s grpc.ServerStream) []byte {
	var m wrapperspb.BytesValue
	if err := s.RecvMsg(&m); err != nil {
		t.Errorf("receive: %v", err)
	}
	return m.GetValue()
}

func encoded(t *testing.T, data []byte) []byte {
	t.Helper()
	b, err := proto.Marshal(wrapperspb.Bytes(data))
	must(t, err)
	return b
}

func decoded(t *testing.T, b []byte) []byte {
	t.Helper()
	var m wrapperspb.BytesValue
	must(t, proto.Unmarshal(b, &m))
	return m.GetValue()
}

func TestCallArrivesWithItsMetadataAndIsAnswered(t *testing.T) {
	t.Parallel()
	c := serve(t, func(_ any, s grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(s)
		md, _ := metadata.FromIncomingContext(s.Context())
		answer := method + " " + strings.Join(md.Get("containerd-namespace"), ",") + " " + string(request(t, s))
		return s.SendMsg(wrapperspb.Bytes([]byte(answer)))
	})
	for range 3 {
		got, err := c.Call(t.Context(), "/p.S/M", encoded(t, []byte("question")))
		must(t, err)
		if s := string(decoded(t, got)); s != "/p.S/M ns question" {
			t.Errorf("got %q", s)
		}
	}
}

func TestLargeAnswersArriveWhole(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, maxFrame - 1, maxFrame, window, 3*window + 7, MaxMessage - 1000}
	c := serve(t, func(_ any, s grpc.ServerStream) error {
		request(t, s)
		for i, n := range sizes {
			if err := s.SendMsg(wrapperspb.Bytes(bytes.Repeat([]byte{byte(i + 1)}, n))); err != nil {
				return err
			}
		}
		return nil
	}, grpc.MaxSendMsgSize(MaxMessage))
	s, err := c.Stream(t.Context(), "/p.S/M", nil)
	must(t, err)
	defer s.Close()
	for i, n := range sizes {
		got, err := s.Recv()
		must(t, err)
		if want := bytes.Repeat([]byte{byte(i + 1)}, n); !bytes.Equal(decoded(t, got), want) {
			t.Errorf("answer %d is not what was sent", i)
		}
	}
	for range 2 {
		if _, err := s.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("after the last answer: %v", err)
		}
	}
}

func TestStatusBecomesAnErrorWithItsMessage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		code  codes.Code
		after int // answers
		is    func(error) bool
	}{
		"at once":        {codes.NotFound, 0, errdefs.IsNotFound},
		"after one":      {codes.FailedPrecondition, 1, errdefs.IsFailedPrecondition},
		"unimplemented":  {codes.Unimplemented, 0, errdefs.IsNotImplemented},
		"unknown number": {codes.Code(99), 0, func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const message = `image "ünï 100%": gone`
			c := serve(t, func(_ any, s grpc.ServerStream) error {
				request(t, s)
				for range tc.after {
					if err := s.SendMsg(wrapperspb.Bytes(nil)); err != nil {
						return err
					}
				}
				return status.Error(tc.code, message)
			})
			if _, err := c.Call(t.Context(), "/p.S/M", nil); !tc.is(err) || !strings.Contains(err.Error(), message) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWrongNumberOfAnswersIsAnError(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "nothing", 2: "more than one"} {
		c := serve(t, func(_ any, s grpc.ServerStream) error {
			request(t, s)
			for range n {
				if err := s.SendMsg(wrapperspb.Bytes(nil)); err != nil {
					return err
				}
			}
			return nil
		})
		if _, err := c.Call(t.Context(), "/p.S/M", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d answers: %v", n, err)
		}
	}
}

func TestTooLargeAnswerIsAnError(t *testing.T) {
	t.Parallel()
	c := serve(t, func(_ any, s grpc.ServerStream) error {
		request(t, s)
		return s.SendMsg(wrapperspb.Bytes(make([]byte, MaxMessage)))
	}, grpc.MaxSendMsgSize(2*MaxMessage))
	if _, err := c.Call(t.Context(), "/p.S/M", nil); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Call(t.Context(), "/p.S/M", make([]byte, maxFrame)); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("too large a request: %v", err)
	}
}

func TestEndOfTheContextEndsTheCall(t *testing.T) {
	t.Parallel()
	c := serve(t, func(_ any, s grpc.ServerStream) error { <-s.Context().Done(); return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, "/p.S/M", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Call(canceled, "/p.S/M", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A reader that takes its time makes the server wait, not this process grow.
func TestSlowReaderStopsTheServer(t *testing.T) {
	t.Parallel()
	const each, total = 64 << 10, 1000
	sent := make(chan int, total+1)
	c := serve(t, func(_ any, s grpc.ServerStream) error {
		request(t, s)
		for i := range total {
			if err := s.SendMsg(wrapperspb.Bytes(make([]byte, each))); err != nil {
				return err
			}
			sent <- i
		}
		return nil
	})
	s, err := c.Stream(t.Context(), "/p.S/M", nil)
	must(t, err)
	defer s.Close()
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	last := 0
	for quiet := false; !quiet; {
		select {
		case last = <-sent:
		case <-time.After(300 * time.Millisecond):
			quiet = true
		}
	}
	if last > 4*window/each {
		t.Errorf("the server sent %d messages of %d bytes ahead", last, each)
	}
	n := 1
	for ; ; n++ {
		if _, err := s.Recv(); err != nil {
			break
		}
	}
	if n != total {
		t.Errorf("%d answers, want %d", n, total)
	}
}

// A server of another protocol may wait for more.
func TestSilentServerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "ug-")
	must(t, err)
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, err)
	defer l.Close()
	c := Client{Socket: filepath.Join(dir, "s"), greeting: 50 * time.Millisecond}
	if _, err := c.Call(t.Context(), "/p.S/M", nil); err == nil || !strings.Contains(err.Error(), "says nothing for 50ms") {
		t.Errorf("got %v", err)
	}
}

func TestNoConnectionIsExplainedInASentence(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "ug-")
	must(t, err)
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	must(t, err)
	l.SetUnlinkOnClose(false)
	l.Close()
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "there is no socket",
		file:                       "nobody listens",
		dead:                       "nobody listens",
		dir:                        "nobody listens",
	} {
		_, err := (&Client{Socket: path}).Call(t.Context(), "/p.S/M", nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) || !errdefs.IsUnavailable(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

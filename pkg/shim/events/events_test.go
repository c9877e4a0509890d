package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	eventsapi "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// daemon is containerd's side: a real ttrpc server on a unix socket.
type daemon struct {
	path   string
	server *ttrpc.Server
	served chan error

	mu     sync.Mutex
	got    []*types.Envelope
	answer func(*types.Envelope) error
}

func newDaemon(t *testing.T) *daemon {
	d := &daemon{path: filepath.Join(t.TempDir(), "s")}
	d.start(t)
	t.Cleanup(d.stop)
	return d
}

func (d *daemon) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	d.server, err = ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	eventsapi.RegisterTTRPCEventsService(d.server, d)
	d.served = make(chan error, 1)
	go func() { d.served <- d.server.Serve(context.Background(), l) }()
}

// stop is what kill -9 looks like from outside: socket gone, connections reset.
func (d *daemon) stop() {
	_ = d.server.Close()
	<-d.served
}

func (d *daemon) Forward(_ context.Context, r *eventsapi.ForwardRequest) (*emptypb.Empty, error) {
	d.mu.Lock()
	d.got = append(d.got, r.GetEnvelope())
	answer := d.answer
	d.mu.Unlock()
	if answer != nil {
		if err := answer(r.GetEnvelope()); err != nil {
			return nil, err
		}
	}
	return &emptypb.Empty{}, nil
}

// ids are the container ids of the events that arrived, in order.
func (d *daemon) ids(t *testing.T) []string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for _, e := range d.got {
		var s eventtypes.TaskStart
		if err := proto.Unmarshal(e.GetEvent().GetValue(), &s); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.GetContainerID())
	}
	return ids
}

func quiet() *log.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

func start(id int) *TaskStart {
	return &TaskStart{ContainerID: fmt.Sprint(id)}
}

func closeQueue(t *testing.T, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := q.Close(ctx); err != nil {
		t.Error(err)
	}
}

func assertCount(t *testing.T, got []string, n int) {
	t.Helper()
	if len(got) != n {
		t.Errorf("%d events arrived, want %d", len(got), n)
	}
	for i, id := range got {
		if id != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, id)
		}
	}
}

func TestEnvelopeSaysWhoWhenAndWhat(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	c := NewClient("unix://" + d.path)
	defer c.Close()
	q := New("k8s.io", c.Forward, quiet())
	before := time.Now()
	q.Publish(&TaskExit{ContainerID: "c", ID: "c", Pid: 5, ExitStatus: 137})
	after := time.Now()
	closeQueue(t, q)
	if len(d.got) != 1 {
		t.Fatalf("%d events arrived", len(d.got))
	}
	e := d.got[0]
	if e.GetNamespace() != "k8s.io" || e.GetTopic() != "/tasks/exit" || e.GetEvent().GetTypeUrl() != "containerd.events.TaskExit" {
		t.Errorf("got %v", e)
	}
	if at := e.GetTimestamp().AsTime(); at.Before(before) || at.After(after) {
		t.Errorf("published between %v and %v, stamped %v", before, after, at)
	}
	var exit eventtypes.TaskExit
	if err := proto.Unmarshal(e.GetEvent().GetValue(), &exit); err != nil || exit.GetExitStatus() != 137 || exit.GetPid() != 5 {
		t.Errorf("got %v, %v", &exit, err)
	}
}

func TestOrderSurvivesAnAbsentDaemon(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	c := NewClient(d.path)
	defer c.Close()
	q := New("default", c.Forward, quiet())
	const n = 300
	for i := range n {
		if i == n/3 {
			waitFor(t, func() bool { return len(d.ids(t)) == i })
			d.stop()
		}
		if i == 2*n/3 {
			time.Sleep(500 * time.Millisecond) // long enough for failed attempts
			d.start(t)
		}
		q.Publish(start(i))
	}
	closeQueue(t, q)
	// The one that was under way may have come twice, but in its place.
	assertCount(t, slices.Compact(d.ids(t)), n)
}

func TestAnotherDaemonAtTheSameAddressGetsTheNextEventAtOnce(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	c := NewClient(d.path)
	defer c.Close()
	for i := range 5 {
		if i > 0 {
			d.stop()
			d.start(t)
		}
		if err := c.Forward(t.Context(), &Envelope{Topic: "/tasks/start"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventIsSentAgainWhenTheConnectionBreaksBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.answer = func(*types.Envelope) error {
		once.Do(func() {
			close(entered)
			<-release
		})
		return nil
	}
	c := NewClient(d.path)
	defer c.Close()
	q := New("default", c.Forward, quiet())
	q.Publish(start(0))
	q.Publish(start(1))
	<-entered
	d.stop()
	d.start(t)
	close(release)
	closeQueue(t, q)
	if got := strings.Join(d.ids(t), " "); got != "0 0 1" {
		t.Errorf("got %s", got)
	}
}

func TestPublishReturnsWhileTheDaemonHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // never accepts
	c := NewClient(l.Addr().String())
	defer c.Close()
	q := New("default", c.Forward, quiet())
	begin := time.Now()
	for i := range 1000 {
		q.Publish(start(i))
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("1000 events took %v", d)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := q.Close(ctx); err == nil || !strings.Contains(err.Error(), "1000 events") {
		t.Errorf("Close: %v", err)
	}
	q.Publish(start(0)) // after Close: no panic, no effect
}

func TestRefusedEventDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		code  codes.Code
		times int
	}{
		"invalid": {codes.InvalidArgument, 1},
		"other":   {codes.Internal, maxRefusals},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDaemon(t)
			first := true
			var firstTime *types.Envelope
			d.answer = func(e *types.Envelope) error {
				if first {
					first, firstTime = false, e
				}
				if proto.Equal(e, firstTime) {
					return status.Error(tc.code, "no")
				}
				return nil
			}
			c := NewClient(d.path)
			defer c.Close()
			q := New("default", c.Forward, quiet())
			q.Publish(start(0))
			q.Publish(start(1))
			closeQueue(t, q)
			if want, got := strings.Repeat("0 ", tc.times)+"1", strings.Join(d.ids(t), " "); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// The clock is simulated: an hour passes at once.
func TestQueueOutlivesAnHourWithoutDaemon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(time.Hour)
		attempts := 0
		var got []string
		q := New("default", func(_ context.Context, e *Envelope) error {
			attempts++
			if time.Now().Before(back) {
				return errors.New("connection refused")
			}
			got = append(got, e.Topic)
			return nil
		}, quiet())
		q.Publish(&TaskCreate{})
		q.Publish(&TaskStart{})
		time.Sleep(time.Hour + maxBackoff)
		synctest.Wait()
		if strings.Join(got, " ") != "/tasks/create /tasks/start" {
			t.Errorf("delivered %q", got)
		}
		if most := int(2 * time.Hour / maxBackoff); attempts > most || attempts < most/4 {
			t.Errorf("%d attempts in an hour", attempts)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseTriesAtOnceAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		q := New("default", func(context.Context, *Envelope) error {
			attempts++
			return errors.New("connection refused")
		}, quiet())
		q.Publish(&TaskExit{})
		q.Publish(&TaskDelete{})
		time.Sleep(time.Minute)
		synctest.Wait()
		before := attempts
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := q.Close(ctx)
		if err == nil || !strings.Contains(err.Error(), "2 events") || !strings.Contains(err.Error(), "/tasks/exit") {
			t.Errorf("Close: %v", err)
		}
		if attempts != before+1 {
			t.Errorf("%d attempts on Close", attempts-before)
		}
		if err := q.Close(ctx); err == nil {
			t.Error("the second Close forgot the loss")
		}
	})
}

func TestFlushWaitsForWhatWasPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var delivered atomic.Int32
		q := New("default", func(context.Context, *Envelope) error {
			time.Sleep(time.Second)
			delivered.Add(1)
			return nil
		}, quiet())
		q.Flush(t.Context()) // nothing to wait for
		for range 3 {
			q.Publish(&TaskExit{})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if q.Flush(ctx); delivered.Load() != 0 || ctx.Err() == nil {
			t.Errorf("%d are delivered after a millisecond", delivered.Load())
		}
		if q.Flush(t.Context()); delivered.Load() != 3 {
			t.Errorf("%d are delivered", delivered.Load())
		}
		q.Publish(&TaskDelete{})
		if q.Flush(t.Context()); delivered.Load() != 4 {
			t.Errorf("%d are delivered", delivered.Load())
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		q.Flush(t.Context())
	})
}

// A shim that ends has a few seconds for its last events, and containerd may be there for
// one of them only.
func TestCloseFindsADaemonThatIsThereForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begin time.Time
		q := New("default", func(context.Context, *Envelope) error {
			if passed := time.Since(begin); passed < 8*time.Second || passed > 9*time.Second {
				return errors.New("connection refused")
			}
			return nil
		}, quiet())
		q.Publish(&TaskExit{})
		time.Sleep(time.Minute)
		synctest.Wait()
		begin = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := q.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestFullQueueDropsOOMEventsFirst(t *testing.T) {
	t.Parallel()
	q := &Queue{limit: 4, wake: make(chan struct{}, 1), log: quiet(), namespace: "default"}
	for _, e := range []Event{
		&TaskCreate{}, &TaskOOM{}, &TaskStart{}, &TaskOOM{},
		&TaskPaused{}, &TaskResumed{}, &TaskExit{},
	} {
		q.Publish(e)
	}
	var got []string
	for e := q.pop(); e != nil; e = q.pop() {
		got = append(got, e.Topic)
	}
	if s := strings.Join(got, " "); s != "/tasks/start /tasks/paused /tasks/resumed /tasks/exit" {
		t.Errorf("kept %s", s)
	}
}

func TestUnencodableEventIsDroppedAlone(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	c := NewClient(d.path)
	defer c.Close()
	q := New("default", c.Forward, quiet())
	q.Publish(&TaskStart{ContainerID: "\xff"})
	q.Publish(start(0))
	closeQueue(t, q)
	assertCount(t, d.ids(t), 1)
}

func TestWithoutAddressEventsGoNowhere(t *testing.T) {
	t.Parallel()
	q := New("default", NewClient("").Forward, quiet())
	q.Publish(start(0))
	closeQueue(t, q)
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("timed out")
		}
	}
}

package scope

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// keep is how long a connection stays open that nobody uses. systemd tells
// everybody who is connected of every unit that changes, and there may be hundreds
// of shims on a node.
const keep = 3 * time.Second

// bus is the one of this process.
var bus shared

// shared is a connection that is opened when it is needed, for all who need it.
type shared struct {
	mu      sync.Mutex
	conn    *systemd.Conn
	users   int
	close   *time.Timer
	version int // of systemd; 0 if nobody has asked yet
}

// with calls do with a connection to systemd; twice if systemd was started anew
// meanwhile.
func (s *shared) with(ctx context.Context, do func(*systemd.Conn) error) error {
	for retried := false; ; retried = true {
		conn, err := s.acquire(ctx)
		if err != nil {
			return err
		}
		err = do(conn)
		lost := !conn.Connected() || errors.Is(err, dbus.ErrClosed)
		s.release(conn, lost)
		if err == nil || !lost || retried {
			return err
		}
	}
}

func (s *shared) acquire(ctx context.Context) (*systemd.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && !s.conn.Connected() {
		s.forget()
	}
	if s.conn == nil {
		conn, err := dial(ctx)
		if err != nil {
			return nil, fmt.Errorf("connect to systemd: %w", err)
		}
		s.conn = conn
	}
	if s.close != nil {
		s.close.Stop()
	}
	s.users++
	return s.conn, nil
}

// release ends a use of a connection, which may be another one than that of now.
func (s *shared) release(conn *systemd.Conn, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if conn != s.conn {
		return
	}
	if s.users--; lost {
		s.forget()
		return
	}
	if s.users > 0 {
		return
	}
	s.close = time.AfterFunc(keep, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if conn == s.conn && s.users == 0 {
			s.forget()
		}
	})
}

// forget closes the connection, also to others who use it.
func (s *shared) forget() {
	s.conn.Close()
	s.conn, s.users = nil, 0
}

// dial connects to systemd itself, or to it by the system's bus. The connection
// ends with its context, so it has one of its own.
func dial(ctx context.Context) (*systemd.Conn, error) {
	own, cancel := context.WithCancel(context.Background())
	defer context.AfterFunc(ctx, cancel)()
	conn, err := systemd.NewSystemdConnectionContext(own)
	if err != nil {
		conn, err = systemd.NewSystemConnectionContext(own)
	}
	if err != nil {
		cancel()
	}
	return conn, err
}

// Version of systemd, which is asked once. The error says that it cannot be reached.
func Version(ctx context.Context) (int, error) {
	bus.mu.Lock()
	known := bus.version
	bus.mu.Unlock()
	if known != 0 {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var text string
	err := bus.with(ctx, func(conn *systemd.Conn) (err error) {
		text, err = conn.GetManagerProperty("Version")
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask systemd for its version: %w", err)
	}
	n, err := version(text)
	if err != nil {
		return 0, err
	}
	bus.mu.Lock()
	defer bus.mu.Unlock()
	bus.version = n
	return n, nil
}

package cgi

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
)

const (
	// headerPatience is for how long a client may be about a request's header, or a new
	// connection say nothing.
	headerPatience = 15 * time.Second
	// idlePatience is for how long a connection stays open between requests.
	idlePatience = 30 * time.Second
)

// server implements gateway.Server.
type server struct {
	gateway.Options
	listeners []net.Listener
	open      chan struct{} // one for each connection, and each listener that waits for one
	closing   chan struct{} // closed by Shutdown
	once      sync.Once
	pool      *pool
	guard     *guard
	http      http.Server
}

// Open is gateway.Open.
func Open(files []*os.File, o gateway.Options) (gateway.Server, error) {
	s := &server{Options: o, open: make(chan struct{}, o.Connections), closing: make(chan struct{})}
	s.Env = without(o.Env)
	s.guard = &guard{set: o.Guard, after: 2 * o.Patience, idle: o.Idle}
	for _, f := range files {
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("listener %q: %w", f.Name(), err)
		}
		s.listeners = append(s.listeners, &limited{Listener: l, server: s})
	}
	s.http = http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerPatience,
		// These are for what net/http reads and writes by itself: the body of a request that
		// it refuses, and what says so. Exchanges have deadlines of their own.
		ReadTimeout:                  headerPatience,
		WriteTimeout:                 o.Patience,
		IdleTimeout:                  idlePatience,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(o.Log, "cgi: ", 0),
		ConnContext:                  withConn,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				<-s.open
			}
		},
	}
	return s, nil
}

// Serve implements gateway.Server.
func (s *server) Serve(p gateway.Program) error {
	s.pool = newPool(p, s.Workers)
	go s.pool.refill(s.closing)
	ended := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		go func() { ended <- s.http.Serve(l) }()
	}
	err := <-ended
	select {
	case <-s.closing:
		return nil
	default:
		return err
	}
}

// Shutdown implements gateway.Server.
func (s *server) Shutdown() {
	s.once.Do(func() { close(s.closing) })
	_ = s.http.Shutdown(context.Background())
}

// crowded tells that connections are getting scarce: those that are idle should not stay.
func (s *server) crowded() bool { return len(s.open) > cap(s.open)/2 }

// hurried tells that connections should not stay for what is of no use to anybody here.
func (s *server) hurried() bool {
	select {
	case <-s.closing:
		return true
	default:
		return s.crowded()
	}
}

// limited is a listener that lets more connections wait when as many as possible are open.
type limited struct {
	net.Listener
	server *server
}

// Accept implements the method of net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.server.open <- struct{}{}:
	case <-l.server.closing:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.server.open
		return nil, err
	}
	return &conn{Conn: c, server: l.server}, nil
}

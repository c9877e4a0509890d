package main

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/runtimes/noop"
)

// daemon is the one task that a shim has.
type daemon struct {
	pid    uint32 // of this process, since there is no other
	socket string

	mu     sync.Mutex
	id     string
	stdout string
	status task.Status
	exit   uint32
	at     time.Time
	ended  chan struct{}
	done   bool // containerd has said Shutdown
}

// serve answers containerd until it says Shutdown.
func serve(socket string) error {
	l, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	d := &daemon{pid: uint32(os.Getpid()), socket: socket, ended: make(chan struct{})}
	// The messages of versions 2 and 3 are the same.
	server.RegisterService("containerd.task.v3.Task", &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"Connect":  method(d.connect),
		"Create":   method(d.create),
		"Start":    method(d.start),
		"State":    method(d.state),
		"Wait":     method(d.wait),
		"Kill":     method(d.kill),
		"Delete":   method(d.delete),
		"Shutdown": method(d.shutdown),
	}})
	return server.Serve(context.Background(), listener{l, d})
}

func method[Req, Resp any](call func(*Req) (*Resp, error)) ttrpc.Method {
	return func(_ context.Context, unmarshal func(any) error) (any, error) {
		var req Req
		if err := unmarshal(&req); err != nil {
			return nil, err
		}
		return call(&req)
	}
}

func (d *daemon) connect(*taskapi.ConnectRequest) (*taskapi.ConnectResponse, error) {
	return &taskapi.ConnectResponse{ShimPid: d.pid, TaskPid: d.pid}, nil
}

func (d *daemon) create(r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.id, d.stdout, d.status = r.GetID(), r.GetStdout(), task.Status_CREATED
	return &taskapi.CreateTaskResponse{Pid: d.pid}, nil
}

func (d *daemon) start(*taskapi.StartRequest) (*taskapi.StartResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ended, err := noop.Run(d.id, d.stdout)
	if err != nil {
		return nil, err
	}
	d.status = task.Status_RUNNING
	if ended {
		d.end(0)
	}
	return &taskapi.StartResponse{Pid: d.pid}, nil
}

// end is called with mu held.
func (d *daemon) end(exit uint32) {
	d.status, d.exit, d.at = task.Status_STOPPED, exit, time.Now()
	close(d.ended)
}

func (d *daemon) state(*taskapi.StateRequest) (*taskapi.StateResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &taskapi.StateResponse{
		ID: d.id, Pid: d.pid, Status: d.status, Stdout: d.stdout, ExitStatus: d.exit, ExitedAt: timestamppb.New(d.at),
	}, nil
}

func (d *daemon) wait(*taskapi.WaitRequest) (*taskapi.WaitResponse, error) {
	<-d.ended
	return &taskapi.WaitResponse{ExitStatus: d.exit, ExitedAt: timestamppb.New(d.at)}, nil
}

func (d *daemon) kill(r *taskapi.KillRequest) (*emptypb.Empty, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status == task.Status_STOPPED {
		return nil, status.Error(codes.NotFound, "it has ended already")
	}
	d.end(128 + r.GetSignal())
	return &emptypb.Empty{}, nil
}

func (d *daemon) delete(*taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	return &taskapi.DeleteResponse{Pid: d.pid, ExitStatus: d.exit, ExitedAt: timestamppb.New(d.at)}, nil
}

// shutdown lets the process end as soon as containerd has hung up, which it does
// when it has the answer.
func (d *daemon) shutdown(*taskapi.ShutdownRequest) (*emptypb.Empty, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done = true
	return &emptypb.Empty{}, nil
}

// hangUp is called when a connection has been closed.
func (d *daemon) hangUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done {
		_ = os.Remove(d.socket)
		os.Exit(0)
	}
}

// listener tells the daemon of the end of connections.
type listener struct {
	net.Listener
	d *daemon
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return conn{c, l.d}, err
}

type conn struct {
	net.Conn
	d *daemon
}

// Close implements net.Conn.
func (c conn) Close() error {
	defer c.d.hangUp()
	return c.Conn.Close()
}

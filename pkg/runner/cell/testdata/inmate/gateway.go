package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/gateway"
)

// serve answers requests, at an address that it writes, by a function of its own in the
// place of a guest.
func serve(rule string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	listener.Close()
	fmt.Println(listener.Addr())
	server, err := cgi.Open([]*os.File{file}, gateway.Options{Workers: 2, Patience: time.Minute, Connections: 4, Log: os.Stderr, Guard: guard, Idle: func() {}})
	if err != nil {
		return err
	}
	if err := lock(rule); err != nil {
		return err
	}
	return server.Serve(programs{})
}

func guard(after time.Duration) {
	if _, err := unix.Setitimer(unix.ITIMER_REAL, unix.Itimerval{Value: unix.NsecToTimeval(int64(after))}); err != nil {
		fmt.Fprintln(os.Stderr, "timer:", err)
		os.Exit(failed)
	}
}

// programs has instances that answer with their environment, or end in the middle of
// an answer that has begun: it is longer than what is held back.
type programs struct{}

func (programs) Instance() (gateway.Instance, error) {
	var in, out [2]int
	for _, p := range []*[2]int{&in, &out} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return nil, err
		}
	}
	for _, fd := range []int{in[1], out[0]} {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, err
		}
	}
	return &instance{os.NewFile(uintptr(in[1]), "in"), os.NewFile(uintptr(out[0]), "out"), in[0], out[1]}, nil
}

type instance struct {
	stdin, stdout *os.File
	in, out       int
}

func (i *instance) Stdin() *os.File  { return i.stdin }
func (i *instance) Stdout() *os.File { return i.stdout }

func (i *instance) Run(env []string) (int, error) {
	defer i.Discard()
	text := strings.Join(env, "\n")
	cut := slices.Contains(env, "PATH_INFO=/cut")
	if cut {
		text = strings.Repeat("x", 300<<10)
	}
	_, err := io.WriteString(writer(i.out), "Content-Type: text/plain\n\n"+text)
	if cut {
		err = errors.New("it is cut")
	}
	return 0, err
}

func (i *instance) Discard() {
	unix.Close(i.in)
	unix.Close(i.out)
}

// writer is a descriptor.
type writer int

func (w writer) Write(b []byte) (int, error) { return unix.Write(int(w), b) }

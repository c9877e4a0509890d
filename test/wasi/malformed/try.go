package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/test/wasi/play"
)

// patience with a guest that waits for something.
const patience = 2 * time.Second

// outside is a file beside the directory that a guest sees, and its content.
const outside = "not the guest's"

// try runs a guest in a directory, which is made anew. It tells whether the guest had
// to be ended.
func try(ctx context.Context, shim, dir string, content []byte) (blocked bool, err error) {
	if err := furnish(dir); err != nil {
		return false, err
	}
	module := filepath.Join(dir, "guest.wasm")
	if err := os.WriteFile(module, content, 0o600); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer null.Close()
	said, stderr, err := os.Pipe()
	if err != nil {
		return false, err
	}
	defer said.Close()
	heard := make(chan []byte)
	go func() { heard <- lastPart(said) }()
	inside := filepath.Join(dir, "inside")
	g := play.Guest{Binary: shim, Path: module, Stdio: [3]*os.File{null, null, stderr}, Job: job.Job{
		Module: "/guest.wasm", Export: "_start", Args: []string{"guest", "argument"}, Env: []string{"A=b"},
		Preopens: []job.Preopen{{Guest: "/", Host: inside}, {Guest: "/dir", Host: filepath.Join(inside, "dir")}, {Guest: "/ro", Host: inside, ReadOnly: true}},
	}}
	status, err := g.Run(ctx)
	stderr.Close()
	message := <-heard
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		blocked = true
	case err != nil:
		return false, err
	case status != 0:
		return false, fmt.Errorf("status %d\n%s", status, message)
	}
	return blocked, check(dir)
}

// lastPart of what a guest wrote, which may be much: what the runner said is at the
// end.
func lastPart(r io.Reader) []byte {
	const most = 16 << 10
	var last []byte
	b := make([]byte, most)
	for {
		n, err := r.Read(b)
		last = append(last, b[:n]...)
		last = last[max(0, len(last)-most):]
		if err != nil {
			return bytes.ToValidUTF8(last, []byte("?"))
		}
	}
}

// furnish makes the directory of guests.
func furnish(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	inside := filepath.Join(dir, "inside")
	return errors.Join(
		os.MkdirAll(filepath.Join(inside, "dir"), 0o777),
		os.WriteFile(filepath.Join(dir, "outside"), []byte(outside), 0o600),
		os.WriteFile(filepath.Join(inside, "f"), []byte("content"), 0o666),
		os.WriteFile(filepath.Join(inside, "dir", "f"), []byte("content"), 0o666),
		os.Symlink("f", filepath.Join(inside, "link")),
		os.Symlink("loop", filepath.Join(inside, "loop")),
		os.Symlink("../outside", filepath.Join(inside, "out")),
		os.Symlink(filepath.Join(dir, "outside"), filepath.Join(inside, "absolute")),
		unix.Mkfifo(filepath.Join(inside, "fifo"), 0o666),
	)
}

// check finds what a guest has done where it has no business.
func check(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case "guest.wasm", "inside", "outside":
		default:
			return fmt.Errorf("it has made %s outside of its directory", e.Name())
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, "outside"))
	if err == nil && string(content) != outside {
		err = errors.New("it has changed a file outside of its directory")
	}
	return err
}

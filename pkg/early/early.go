// Package early runs the actions start and delete while Go initialises the binary's
// packages, and ends the process: containerd waits for these processes with every
// container, and to initialise the rest (protobuf, containerd's API, the engine) takes
// several times as long as what they do. runc has its "init" in such a place for
// another reason.
//
// Go sorts the packages by import path and initialises at each step the first one
// whose imports are all initialised (https://go.dev/ref/spec#Program_execution). So
// this package comes early because it imports little. See package quick for what that
// forbids, and for the cases that are left to main.
package early

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/version/name"
)

// execPath is job.ExecPath: the shim's own processes, whose arguments may be anything.
const execPath = "/proc/self/fd/3"

// stdin is what has been read for nothing.
var stdin []byte

func init() {
	if len(os.Args) == 0 || os.Args[0] == execPath {
		return
	}
	c, sure := quick.Parse(os.Args[1:])
	if !sure {
		return
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "" // it has been deleted
	}
	if c.Action == quick.ActionDelete {
		err = remove(c, dir)
	} else {
		err = start(c, dir)
	}
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, quick.ErrUnsure):
	default:
		_ = quick.WriteAll(syscall.Stderr, []byte(name.Runtime+": "+err.Error()+"\n"))
		os.Exit(1)
	}
}

func start(c quick.Command, dir string) error {
	if dir == "" {
		return quick.ErrUnsure
	}
	var err error
	if stdin, err = quick.ReadAll(syscall.Stdin, 4<<10, quick.MaxStdin); err != nil {
		return quick.ErrUnsure
	}
	s := quick.Start{Command: c, Environ: os.Environ(), Dir: dir, Stdin: stdin, Answer: answer}
	return s.Run(context.Background())
}

func remove(c quick.Command, dir string) error {
	end, err := quick.Delete(c, dir)
	if err != nil {
		return err
	}
	return quick.WriteAnswer(answer, end.Encode())
}

func answer(b []byte) error { return quick.WriteAll(syscall.Stdout, b) }

// Stdin is standard input from its beginning.
func Stdin() io.Reader { return io.MultiReader(&unread{stdin}, os.Stdin) }

// unread is what has been read.
type unread struct{ rest []byte }

func (u *unread) Read(b []byte) (int, error) {
	if len(u.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

package quick

import (
	"errors"
	"io/fs"
	"path"
	"syscall"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle/names"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

// statusKilled is the exit status of what nobody has seen the end of.
const statusKilled = 128 + uint32(syscall.SIGKILL)

// End is how a container ended.
type End struct {
	Pid, Status uint32
	At          time.Time
}

// Killed is the end that is assumed when none is known.
func Killed() End { return End{Status: statusKilled, At: time.Now()} }

// Encode makes a containerd.task.v2.DeleteResponse of it.
func (e End) Encode() []byte {
	at := protofields.AppendNumber(nil, 1, uint64(e.At.Unix()))
	at = protofields.AppendNumber(at, 2, uint64(e.At.Nanosecond()))
	r := protofields.AppendNumber(nil, 1, uint64(e.Pid))
	r = protofields.AppendNumber(r, 2, uint64(e.Status))
	return protofields.AppendString(r, 3, at)
}

// Delete does the action delete and returns how the container ended, if the shim has
// removed everything already, which is what there usually is to be seen, or there is
// no bundle. dir is the working directory, or empty if there is none.
func Delete(c Command, dir string) (End, error) {
	if c.Bundle != "" {
		dir = c.Bundle
	}
	if !path.IsAbs(dir) || path.Clean(dir) != dir {
		return End{}, ErrUnsure
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); errors.Is(err, fs.ErrNotExist) {
		return Killed(), nil
	}
	if err := syscall.Lstat(dir+"/"+names.Deleted, &st); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return End{}, ErrUnsure
	}
	e, err := readEnd(dir)
	if err != nil {
		return End{}, err
	}
	socket, err := readSocket(dir)
	if err != nil {
		return End{}, err
	}
	if socket != "" {
		LeaveShim(socket, c.ID)
	}
	return e, nil
}

// LeaveShim takes the container's claim on its shim back and removes the socket of a
// dead one. All of it is best effort. It tells whether the shim is alive.
func LeaveShim(socket, id string) (alive bool) {
	_ = remove(Announcement(socket, id))
	var st syscall.Stat_t
	if err := syscall.Lstat(socket, &st); errors.Is(err, fs.ErrNotExist) {
		return false // the usual case: the shim has removed it
	}
	alive, err := Listening(socket)
	if err == nil && !alive {
		removeDead(socket)
	}
	return alive && err == nil
}

// readSocket reads where the shim listens; empty if that is not recorded.
func readSocket(dir string) (socket string, err error) {
	err = readRecord(dir+"/"+names.Socket, names.SocketVersion, func(name string, value []byte) (sure bool) {
		if name == "path" {
			socket, sure = text(value)
			return sure
		}
		return !resembles(name, "path")
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return socket, err
}

// readEnd reads how the container ended, or at least what its process was.
func readEnd(dir string) (End, error) {
	var e End
	err := readRecord(dir+"/"+names.Exit, names.ExitVersion, func(name string, value []byte) (sure bool) {
		switch name {
		case "pid":
			e.Pid, sure = number(value)
			return sure
		case "status":
			e.Status, sure = number(value)
			return sure
		case "at":
			at, sure := text(value)
			var err error
			e.At, err = time.Parse(time.RFC3339Nano, at)
			return sure && err == nil
		}
		return !resembles(name, "pid") && !resembles(name, "status") && !resembles(name, "at")
	})
	if !errors.Is(err, fs.ErrNotExist) {
		if e.At.IsZero() {
			return End{}, ErrUnsure
		}
		return e, err
	}
	e = Killed()
	err = readRecord(dir+"/"+names.State, names.StateVersion, func(name string, value []byte) (sure bool) {
		if name == "pid" {
			e.Pid, sure = number(value)
			return sure
		}
		return !resembles(name, "pid")
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return e, err
}

// readRecord reads a file of package bundle. It is sure only of the version that is
// known. errors.Is(err, fs.ErrNotExist) holds when there is no file.
func readRecord(name string, known uint32, f func(name string, value []byte) (sure bool)) error {
	data, err := readFile(name, names.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return ErrUnsure
	}
	var version uint32
	sure := members(data, func(name string, value []byte) (sure bool) {
		if name == "version" {
			version, sure = number(value)
			return sure
		}
		return !resembles(name, "version") && f(name, value)
	})
	if !sure || version != known {
		return ErrUnsure
	}
	return nil
}

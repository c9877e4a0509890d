package job

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Order is what the shim says: one line on the control socket.
type Order string

const (
	// Enter: make the room that the job describes and go in; the process is in its
	// namespaces and its cgroup now. It comes first, and only for a job with a
	// room. A handle of the root comes with it if the room is to be joined.
	Enter Order = "enter"
	// Proceed: go on with the room after Prepared; the hooks have ended.
	Proceed Order = "resume"
	// Code: use the machine code in the cache entry whose descriptor comes with
	// the order.
	Code Order = "code"
	// NoCode: compile the module by yourself. A descriptor of the module comes
	// with it if the runner may have closed its own, after Stale.
	NoCode Order = "nocode"
	// Go: run the guest.
	Go Order = "go"
	// Terminate: accept no more connections, and end as by SIGTERM when none is open.
	// Only after Ready, for a job that is graceful, and once; likewise Interrupt.
	Terminate Order = "term"
	// Interrupt: the same as by SIGINT.
	Interrupt Order = "int"
)

// maxOrder bounds an order in bytes.
const maxOrder = len(NoCode)

// Send is called by the shim. file stays the caller's; it may be nil but for
// Code, and is for what is not Enter or NoCode.
func (c *Control) Send(o Order, file *os.File) error {
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("send %s to the runner: %w", o, err)
	}
	line := []byte(o + "\n")
	var rights []byte
	if file != nil {
		// An *os.File that is polled must not be made blocking by Fd.
		fileConn, err := file.SyscallConn()
		if err != nil {
			return fmt.Errorf("send %s to the runner: %w", o, err)
		}
		controlErr := fileConn.Control(func(fd uintptr) {
			rights = unix.UnixRights(int(fd))
			err = sendLine(raw, line, rights)
		})
		err = errors.Join(controlErr, err)
		if err != nil {
			return fmt.Errorf("send %s to the runner: %w", o, err)
		}
		return nil
	}
	if err := sendLine(raw, line, nil); err != nil {
		return fmt.Errorf("send %s to the runner: %w", o, err)
	}
	return nil
}

func sendLine(raw syscall.RawConn, line, rights []byte) error {
	var err error
	writeErr := raw.Write(func(fd uintptr) bool {
		for {
			err = unix.Sendmsg(int(fd), line, rights, nil, unix.MSG_NOSIGNAL)
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	return errors.Join(writeErr, err)
}

// Receive is called by the runner. The file, with the close-on-exec flag, is the
// caller's; it is nil if none has come. The error is io.EOF when the shim is gone.
func (c *Control) Receive() (Order, *os.File, error) {
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return "", nil, err
	}
	var line []byte
	var files []*os.File
	// A byte at a time: so a descriptor belongs to the order that it came with,
	// and what comes after the order stays in the socket.
	for {
		b, more, err := receiveByte(raw)
		files = append(files, more...)
		if err == nil && b != '\n' && len(line) == maxOrder {
			err = errors.New("the shim sent an overlong order")
		}
		if err == nil && len(files) > 1 {
			err = fmt.Errorf("the shim sent %d descriptors with an order", len(files))
		}
		if err != nil {
			closeAll(files)
			return "", nil, err
		}
		if b == '\n' {
			break
		}
		line = append(line, b)
	}
	o := Order(line)
	if !o.takes(len(files)) {
		closeAll(files)
		return "", nil, fmt.Errorf("the shim sent the order %q with %d descriptors", o, len(files))
	}
	if len(files) == 0 {
		return o, nil, nil
	}
	return o, files[0], nil
}

// ReceiveBare is Receive of an order that comes without a descriptor, by means of
// read(2) alone. A descriptor that comes is lost on the way.
func (c *Control) ReceiveBare() (Order, error) {
	var line []byte
	for {
		var b [1]byte
		switch n, err := c.conn.Read(b[:]); {
		case errors.Is(err, io.EOF), err == nil && n == 0:
			return "", io.EOF
		case err != nil:
			return "", fmt.Errorf("receive an order: %w", err)
		case b[0] == '\n':
			return Order(line), nil
		case len(line) == maxOrder:
			return "", errors.New("the shim sent an overlong order")
		}
		line = append(line, b[0])
	}
}

// takes tells whether an order may come with this number of descriptors.
func (o Order) takes(files int) bool {
	switch o {
	case Code:
		return files == 1
	case Enter, NoCode:
		return files <= 1
	case Proceed, Go, Terminate, Interrupt:
		return files == 0
	default:
		return false
	}
}

// receiveByte returns the descriptors that came with the byte even if there is an
// error.
func receiveByte(raw syscall.RawConn) (byte, []*os.File, error) {
	var b [1]byte
	var n, oobn, flags int
	var err error
	// More than one does not belong there, but has to be closed.
	oob := make([]byte, unix.CmsgSpace(4*16))
	readErr := raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, err = unix.Recvmsg(int(fd), b[:], oob, unix.MSG_CMSG_CLOEXEC)
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if err = errors.Join(readErr, err); err != nil {
		return 0, nil, fmt.Errorf("receive an order: %w", err)
	}
	files, err := parseRights(oob[:oobn])
	switch {
	case err != nil:
		return 0, files, fmt.Errorf("receive an order: %w", err)
	case flags&unix.MSG_CTRUNC != 0:
		return 0, files, errors.New("the shim sent too many descriptors with an order")
	case n == 0:
		return 0, files, io.EOF
	}
	return b[0], files, nil
}

func parseRights(oob []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "sent by the shim"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

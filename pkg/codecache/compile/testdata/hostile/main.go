// Command hostile is a compiler that a module has taken over: in the cage, where
// it tries what the name of its deed says, or before it got there.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compiler/cage"
)

func main() {
	deed := os.Getenv("HOSTILE_DEED")
	if deed == "list" {
		for name := range calls() {
			fmt.Println(name)
		}
		return
	}
	if call, ok := strings.CutPrefix(deed, "call "); ok {
		caged(call)
		return
	}
	result := os.NewFile(compilejob.FDResult, "result")
	if deed == "deaf" {
		_ = unix.Close(compilejob.FDJob)
	} else if _, err := io.ReadAll(os.NewFile(compilejob.FDJob, "job")); err != nil {
		os.Exit(99)
	}
	free(deed, result)
}

// caged does what the real role does, and then one more thing.
func caged(call string) {
	c, err := cage.Enter()
	if err != nil {
		_ = compilejob.Write(c.Result, compilejob.Result{Kind: compilejob.Failed, Message: err.Error()})
		return
	}
	do, ok := calls()[call]
	if !ok {
		do = harmless()[call]
	}
	err = do(c)
	_ = compilejob.Write(c.Result, compilejob.Result{Kind: compilejob.Refused, Message: fmt.Sprint("it went on: ", err)})
}

// free are deeds that the cage would not allow, or that need nothing.
func free(deed string, result *os.File) {
	key := compilejob.Key{1, 2, 3}
	write := func(data any) { fmt.Fprint(result, data) }
	announce := func(size int64) {
		line, err := json.Marshal(compilejob.Result{Kind: compilejob.Compiled, Key: key, Code: size})
		if err != nil {
			os.Exit(98)
		}
		write(string(line) + "\n")
	}
	mebi := make([]byte, 1<<20)
	switch deed {
	case "nothing":
	case "deaf":
		write(`{"kind":"refused","message":"no"}` + "\n")
	case "garbage":
		write("\x00\xff\x1b[2Jgarbage\n")
	case "endless line":
		for err := error(nil); err == nil; _, err = result.Write(mebi) {
		}
	case "another module's code":
		announce(4)
		write("code")
	case "escapes":
		write(`{"kind":"refused","message":"\u001b[2J\u0007\u202egone ` + strings.Repeat("x", 10000) + `"}` + "\n")
	case "announces terabytes":
		announce(1 << 40)
	case "sends terabytes":
		announce(1 << 20)
		for err := error(nil); err == nil; _, err = result.Write(mebi) {
		}
	case "sends slowly":
		announce(1 << 20)
		for err := error(nil); err == nil; _, err = result.Write([]byte{0}) {
			time.Sleep(time.Millisecond)
		}
	case "sends less":
		announce(1 << 20)
		write("code")
	case "refuses and sends":
		write(`{"kind":"refused","message":"no"}` + "\ncode")
	case "hangs":
		time.Sleep(time.Hour)
	case "spins":
		signal.Ignore(syscall.SIGTERM, syscall.SIGXCPU)
		for {
			unix.Getppid()
		}
	case "closes and hangs":
		announce(4)
		write("code")
		result.Close()
		time.Sleep(time.Hour)
	case "forks":
		for {
			_, _, _ = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		}
	case "allocates":
		allocate()
	case "allocates elsewhere": // tmpfs is memory too
		fd, err := unix.MemfdCreate("memory", 0)
		for err == nil {
			_, err = unix.Write(fd, mebi)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case "exits":
		fmt.Fprint(os.Stderr, "\x1b[2Jfatal error: because\x00 of this\n")
		os.Exit(3)
	case "exits after all":
		announce(4)
		write("code")
		os.Exit(3)
	case "shouts":
		for err := error(nil); err == nil; _, err = os.Stderr.Write(mebi) {
		}
	case "kills itself": // as the first process of its namespace it cannot: from below
		leaveBehind("kill -9 1")
		time.Sleep(time.Hour)
	case "leaves a grandchild with the pipe":
		leaveBehind("sleep 60")
		announce(4)
		write("cod")
	case "leaves a grandchild":
		leaveBehind("sleep 60")
		announce(4)
		write("code")
	default:
		os.Exit(97)
	}
}

// leaveBehind starts a program that holds the result's pipe, in a session of its
// own.
func leaveBehind(script string) {
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles = []*os.File{nil, nil, os.NewFile(compilejob.FDResult, "result")}
	if err := cmd.Start(); err != nil {
		os.Exit(96)
	}
}

// allocated is what must stay.
var allocated [][]byte

// allocate takes memory without end.
func allocate() {
	for {
		b := make([]byte, 16<<20)
		for i := range b {
			b[i] = 1
		}
		allocated = append(allocated, b)
	}
}

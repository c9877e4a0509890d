// Command floor is a containerd shim that does nothing: what a container takes
// with it is what containerd takes, and a Go program that answers it.
//
// It makes no process, no mount and no cgroup, and sends no events. Start writes
// a line to the container's stdout itself. A task has ended as soon as it has
// been started, unless its id begins with "idle": then it ends when it is killed.
// It is good for measuring and for nothing else.
package main

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/protobuf/proto"
)

// socketDir is where the daemons listen.
const socketDir = "/run/floor"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) == 2 {
		return serve(os.Args[1])
	}
	switch action := os.Args[len(os.Args)-1]; action {
	case "start":
		return start()
	case "delete":
		return nil // the empty answer says: it ended with status 0
	default:
		return fmt.Errorf("action %q is none of start and delete", action)
	}
}

// start answers with the address of a new daemon, which finds its socket as
// descriptor 3. The working directory is the container's bundle.
func start() error {
	bundle, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(socketDir, 0o700); err != nil {
		return err
	}
	path := fmt.Sprintf("%s/%x", socketDir, sha256.Sum256([]byte(bundle)))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	file, err := l.File()
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", path)
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	answer := &bootapi.BootstrapResult{Version: 3, Address: "unix://" + path, Protocol: "ttrpc"}
	// Without this containerd 2.4 would run the program once more, to ask.
	if err := answer.AddExtension(&types.MountCapabilities{}); err != nil {
		return err
	}
	data, err := proto.Marshal(answer)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(data)
	return err
}

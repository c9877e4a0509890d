package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/pkg/shim"
)

// addressEnv tells the daemon where it listens; it inherits its socket.
const addressEnv = "FRAMEWORK_ADDRESS"

// manager has the commands of the shim: start, delete and -info.
type manager struct{ name string }

// Name implements shim.Shim.
func (m manager) Name() string { return m.name }

// Start implements shim.Shim: it answers with the address of a new daemon. Pods get a
// daemon for each container, since there is nothing that containers could share.
func (m manager) Start(ctx context.Context, params *bootapi.BootstrapParams) (_ *bootapi.BootstrapResult, err error) {
	dir := params.GetSocketDir()
	if dir == "" {
		dir = filepath.Join(defaults.DefaultStateDir, "s") // where the framework looks for it, too
	}
	address, err := shim.CreateSocketAddress(ctx, dir, params.GetContainerdGrpcAddress(), params.GetInstanceID(), false)
	if err != nil {
		return nil, err
	}
	socket, err := listen(address)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, socket.Close()) // removes it
		}
	}()
	file, err := socket.File()
	if err != nil {
		return nil, err
	}
	cmd, err := daemon(params, address)
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{file}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := shim.AdjustOOMScore(cmd.Process.Pid); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill())
	}
	return &bootapi.BootstrapResult{Version: 3, Address: address, Protocol: "ttrpc"}, nil
}

// listen makes the socket; a daemon that was killed has left its own.
func listen(address string) (*net.UnixListener, error) {
	socket, err := shim.NewSocket(address)
	if err == nil || !shim.SocketEaddrinuse(err) || shim.CanConnect(address) {
		return socket, err
	}
	if err := shim.RemoveSocket(address); err != nil {
		return nil, fmt.Errorf("remove the socket of a former shim: %w", err)
	}
	return shim.NewSocket(address)
}

// daemon is the command of the framework's server. The working directory is the
// container's bundle.
func daemon(params *bootapi.BootstrapParams, address string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-namespace", params.GetNamespace(), "-id", params.GetInstanceID(), "-address", params.GetContainerdGrpcAddress())
	if params.GetLogLevel() <= bootapi.LogLevel_LOG_LEVEL_DEBUG {
		cmd.Args = append(cmd.Args, "-debug")
	}
	// As many as runc's shim has, for the same memory and the same concurrency.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=4", addressEnv+"="+address)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, nil
}

// Stop implements shim.Shim. containerd asks after each container for what is left of
// it, which is nothing, and takes the answer for its end if its daemon has died.
func (m manager) Stop(context.Context, string) (shim.StopStatus, error) {
	return shim.StopStatus{ExitStatus: killed, ExitedAt: time.Now()}, nil
}

// Info implements shim.Shim.
func (m manager) Info(context.Context, io.Reader) (*types.RuntimeInfo, error) {
	return &types.RuntimeInfo{Name: m.name}, nil
}

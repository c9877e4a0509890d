package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/rpc"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/taskapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

const (
	// cleanupTimeout bounds killing what is left of a container.
	cleanupTimeout = 3 * time.Second
	// unmountTimeout bounds unmounting before mounts are detached.
	unmountTimeout = time.Second
	// dismissTimeout bounds talking to a living shim.
	dismissTimeout = time.Second
	dismissPause   = 10 * time.Millisecond
)

// remove makes sure that nothing of a container is left, whatever happened to its
// shim, and says how the container ended. containerd runs it after every delete,
// not only after a crash: when the shim has done everything it returns at once (and
// package quick before it, mostly).
//
// It touches neither other containers nor the socket of a living shim, and does
// nothing that cannot be done twice or twice at the same time.
func remove(ctx context.Context, p Process, c Config, f *Flags) error {
	dir, err := bundleDir(p, f)
	if err != nil {
		return err
	}
	var cleanupErr error
	if !dir.Deleted() && dir.Exists() {
		cleanupErr = cleanup(ctx, c, dir, f.ID)
	}
	// After the cleanup, because a shim with a container does not go.
	leaveShim(ctx, dir, f.ID)
	if cleanupErr != nil {
		// The bundle must stay: containerd tries again with it.
		return cleanupErr
	}
	return respond(p, dir)
}

func cleanup(ctx context.Context, c Config, dir bundle.Dir, id string) error {
	err := kill(ctx, c, dir, id)
	uctx, cancel := context.WithTimeout(ctx, unmountTimeout)
	defer cancel()
	return errors.Join(err, dir.UnmountRootfs(uctx))
}

func kill(ctx context.Context, c Config, dir bundle.Dir, id string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	if err := c.Cleanup(ctx, dir, id); err != nil {
		return fmt.Errorf("clean up container %s: %w", id, err)
	}
	return nil
}

// leaveShim takes the container's claim on its shim back: a shim without
// containers goes, and the socket of a dead one is removed. All of it is best
// effort.
func leaveShim(ctx context.Context, dir bundle.Dir, id string) {
	s, err := dir.ReadSocket()
	if err != nil {
		return
	}
	if alive := quick.LeaveShim(s.Path, id); alive && !dir.Deleted() {
		dismiss(ctx, s.Path, id)
	}
}

// dismiss tells a living shim that containerd has given the container up: it
// forgets the container, which cleanup has killed, and goes if it was the last.
// The shim may never have had it, if start was the last that containerd did. One that
// goes has its last events to bring to containerd, for which dismiss waits with what is
// left of its time.
func dismiss(ctx context.Context, socket, id string) {
	ctx, cancel := context.WithTimeout(ctx, dismissTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	daemon := pidfdOf(ctx, client, id)
	defer unix.Close(daemon)
	for {
		err := rpc.Call(ctx, client, taskapi.ServiceV2, "Delete", &taskapi.DeleteRequest{ID: id}, &taskapi.DeleteResponse{})
		// FailedPrecondition: the shim has yet to see the end of the process.
		if status.Code(err) != codes.FailedPrecondition {
			break
		}
		time.Sleep(dismissPause)
	}
	_ = rpc.Call(ctx, client, taskapi.ServiceV2, "Shutdown", &taskapi.ShutdownRequest{ID: id}, &wire.Empty{})
	if _, err := os.Lstat(socket); errors.Is(err, fs.ErrNotExist) && daemon >= 0 { // it goes
		client.Close()
		end, _ := ctx.Deadline()
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(daemon), Events: unix.POLLIN}}, int(max(0, time.Until(end)).Milliseconds()))
	}
}

// pidfdOf opens the process of a shim; negative if that cannot be.
func pidfdOf(ctx context.Context, shim *ttrpc.Client, id string) int {
	var r taskapi.ConnectResponse
	if err := rpc.Call(ctx, shim, taskapi.ServiceV2, "Connect", &taskapi.ConnectRequest{ID: id}, &r); err != nil {
		return -1
	}
	fd, err := unix.PidfdOpen(int(r.ShimPid), 0)
	if err != nil {
		return -1
	}
	return fd
}

// respond tells how the container ended, as far as that is known: what the shim
// has recorded, or that it was killed.
func respond(p Process, dir bundle.Dir) error {
	end := quick.Killed()
	if e, err := dir.ReadExit(); err == nil {
		end = quick.End{Pid: uint32(e.Pid), Status: e.Status, At: e.At}
	} else if s, err := dir.ReadState(); err == nil {
		end.Pid = uint32(s.Pid)
	}
	if _, err := p.Stdout.Write(end.Encode()); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

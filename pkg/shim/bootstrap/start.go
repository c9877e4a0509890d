package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
)

// start answers with the address of the shim for a container: the one of its
// group if it runs, else a new one. The socket accepts connections before the
// daemon is up, so there is nothing to wait for.
//
// A start that fails leaves nothing. One that is killed leaves at most what
// delete finds: the bundle says where the socket is before there is one.
func start(ctx context.Context, p Process, c Config, f *Flags) error {
	if p.Dir == "" {
		return errors.New("the working directory, which is the bundle, is gone")
	}
	dir := bundle.Dir(p.Dir)
	ps, err := readParams(p, f)
	if err != nil {
		return err
	}
	g, err := group(dir, f.ID)
	if err != nil {
		return err
	}
	socket, err := socketPath(ps.socketDir, ps.grpcAddress, f.Namespace, g)
	if err != nil {
		return err
	}
	if err := dir.WriteSocket(bundle.Socket{Path: socket}); err != nil {
		return err
	}
	undo, err := provide(ctx, p, c, f, &ps, socket)
	if err != nil {
		return err
	}
	if err := ps.answer(p.Stdout, dir, scheme+socket); err != nil {
		undo()
		return err
	}
	return nil
}

// provide makes sure that a daemon serves the socket. undo takes back what was
// done for this container.
func provide(ctx context.Context, p Process, c Config, f *Flags, ps *params, socket string) (undo func(), err error) {
	// 0700: who can reach the socket controls the containers (CVE-2020-15257).
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, fmt.Errorf("create socket directory: %w", err)
	}
	lk, err := lockSocket(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer lk.unlock()
	alive, err := listening(socket)
	if err != nil {
		return nil, err
	}
	if alive {
		return announce(socket, f.ID)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of a dead shim: %w", err)
	}
	l, err := listen(socket)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	kill, err := spawn(p, c, f, ps, socket, l)
	if err != nil {
		_ = os.Remove(socket)
		return nil, err
	}
	return func() { kill(); removeDead(socket) }, nil
}

func announce(socket, id string) (undo func(), err error) {
	path := announcement(socket, id)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("announce the container to its shim: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("announce the container to its shim: %w", err)
	}
	return func() { _ = os.Remove(path) }, nil
}

// removeDead removes a socket that nobody serves; best effort.
func removeDead(socket string) {
	ctx, cancel := context.WithTimeout(context.Background(), removeDeadTimeout)
	defer cancel()
	lk, err := lockSocket(ctx, socket)
	if err != nil {
		return
	}
	defer lk.unlock()
	if alive, err := listening(socket); err == nil && !alive {
		_ = os.Remove(socket)
	}
}

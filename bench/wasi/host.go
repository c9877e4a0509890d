package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

//go:embed guest/main.c
var source []byte

// build makes the guest.
func build(ctx context.Context, dir string) ([]byte, error) {
	in, out := filepath.Join(dir, "guest.c"), filepath.Join(dir, "guest.wasm")
	if err := os.WriteFile(in, source, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-Wl,--strip-debug", "-o", out, in)
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("clang-14: %w\n%s", err, text)
	}
	return os.ReadFile(out)
}

// furnish makes the files that the guest works with.
func furnish(root string) error {
	deep := filepath.Join(root, "a/b/c/d")
	many := filepath.Join(root, "many")
	if err := errors.Join(os.MkdirAll(deep, 0o755), os.MkdirAll(many, 0o755)); err != nil {
		return err
	}
	page := make([]byte, 4096)
	for i := range 1000 {
		if err := os.WriteFile(filepath.Join(many, "file-"+strconv.Itoa(i)), nil, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(os.WriteFile(filepath.Join(root, "file"), page, 0o600), os.WriteFile(filepath.Join(deep, "file"), page, 0o600),
		os.Symlink("a/b/c/d/file", filepath.Join(root, "link")))
}

// host is something that runs the guest.
type host struct {
	name    string
	runtime wazero.Runtime
	guest   wazero.CompiledModule
	root    string
	// ours tells that it is the host of this project, and confined how it resolves
	// paths.
	ours, confined bool
}

// newHosts are wazero's own, and ours in all its ways.
func newHosts(ctx context.Context, module []byte) ([]*host, error) {
	hosts := []*host{{name: "wazero", root: "/"}, {name: "other root", root: elsewhere, ours: true}, {name: "own root", root: "/", ours: true},
		{name: "kernel", root: "/", ours: true, confined: true}}
	for _, h := range hosts {
		h.runtime = wazero.NewRuntime(ctx)
		var err error
		if h.ours {
			b := h.runtime.NewHostModuleBuilder(preview1.ModuleName)
			preview1.Export(b, func(string) bool { return true })
			_, err = b.Instantiate(ctx)
		} else {
			_, err = wasi_snapshot_preview1.Instantiate(ctx, h.runtime)
		}
		if err != nil {
			return nil, err
		}
		if h.guest, err = h.runtime.CompileModule(ctx, module); err != nil {
			return nil, err
		}
	}
	return hosts, nil
}

// run tells how long the guest takes to do something n times, without what it takes to
// start it.
func (h *host) run(ctx context.Context, op string, n int) (time.Duration, error) {
	idle, err := h.start(ctx, "nothing", 0)
	if err != nil {
		return 0, err
	}
	took, err := h.start(ctx, op, n)
	return max(took-idle, 1), err
}

func (h *host) start(ctx context.Context, op string, n int) (time.Duration, error) {
	args := []string{"guest", op, strconv.Itoa(n)}
	config := wazero.NewModuleConfig().WithName("")
	if h.ours {
		system, err := h.system(args)
		if err != nil {
			return 0, err
		}
		defer system.Close()
		ctx = preview1.WithSystem(ctx, system)
	} else {
		config = config.WithArgs(args...).WithStderr(os.Stderr).WithFSConfig(wazero.NewFSConfig().WithDirMount(h.root, "/"))
	}
	start := time.Now()
	m, err := h.runtime.InstantiateModule(ctx, h.guest, config)
	took := time.Since(start)
	if m != nil {
		m.Close(ctx)
	}
	var exit *sys.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 0 {
		err = nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	return took, nil
}

func (h *host) system(args []string) (*preview1.System, error) {
	config := preview1.Config{Args: args}
	for i := range config.Stdio {
		fd, err := unix.FcntlInt(uintptr(i), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		config.Stdio[i] = fd
	}
	fd, err := unix.Open(h.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	config.Preopens = []preview1.Preopen{{FD: fd, Name: "/", Confined: h.confined}}
	return preview1.New(config)
}

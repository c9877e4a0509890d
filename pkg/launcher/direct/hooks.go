package direct

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// hooks runs those of the host (runtime-spec config.md, "POSIX-platform Hooks").
type hooks struct {
	start func(*exec.Cmd) (<-chan reaper.Exit, error)
	id    string
	dir   bundle.Dir
	spec  *specs.Spec
}

// creating are the hooks before Create is done.
func (h *hooks) creating() []specs.Hook {
	if h.spec.Hooks == nil {
		return nil
	}
	//lint:ignore SA1019 deprecated, and still used
	return slices.Concat(h.spec.Hooks.Prestart, h.spec.Hooks.CreateRuntime)
}

func (h *hooks) poststart() []specs.Hook {
	if h.spec.Hooks == nil {
		return nil
	}
	return h.spec.Hooks.Poststart
}

func (h *hooks) poststop() []specs.Hook {
	if h.spec.Hooks == nil {
		return nil
	}
	return h.spec.Hooks.Poststop
}

// run runs hooks one after the other, up to the first that fails. name is their
// field in the configuration.
func (h *hooks) run(ctx context.Context, name string, all []specs.Hook, status specs.ContainerState, pid int) error {
	if len(all) == 0 {
		return nil
	}
	state, err := json.Marshal(specs.State{
		Version: specs.Version, ID: h.id, Status: status, Pid: pid,
		Bundle: string(h.dir), Annotations: h.spec.Annotations,
	})
	if err != nil {
		return err
	}
	for i := range all {
		if err := h.runOne(ctx, &all[i], state); err != nil {
			return fmt.Errorf("hooks.%s[%d] %s: %w", name, i, all[i].Path, err)
		}
	}
	return nil
}

func (h *hooks) runOne(ctx context.Context, hook *specs.Hook, state []byte) error {
	var said bytes.Buffer
	cmd := exec.Command(hook.Path)
	if len(hook.Args) > 0 {
		cmd.Args = hook.Args
	}
	cmd.Env = hook.Env
	if cmd.Env == nil {
		cmd.Env = []string{} // not the shim's own
	}
	cmd.Dir = string(h.dir)
	cmd.Stdin = bytes.NewReader(state)
	cmd.Stdout, cmd.Stderr = &said, &said
	// What it has left behind must not hold its output open for us.
	cmd.WaitDelay = time.Second
	if hook.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*hook.Timeout)*time.Second)
		defer cancel()
	}
	exits, err := h.start(cmd)
	if err != nil {
		return err
	}
	var exit reaper.Exit
	select {
	case exit = <-exits:
	case <-ctx.Done():
		_ = unix.Kill(cmd.Process.Pid, unix.SIGKILL) // not reaped yet: exits has not come
		<-exits
		err = ctx.Err()
	}
	reaper.Flush(cmd)
	if errors.Is(err, context.DeadlineExceeded) && hook.Timeout != nil {
		return fmt.Errorf("it took longer than its timeout of %d s", *hook.Timeout)
	}
	if err == nil && exit.Status != 0 {
		err = fmt.Errorf("exit status %d: %s", exit.Status, strings.TrimSpace(said.String()))
	}
	return err
}

package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	gorunc "github.com/containerd/go-runc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/stdio"
)

// container implements launcher.Container.
type container struct {
	id       string
	dir      bundle.Dir
	launcher *Launcher // nil in the delete helper
	cmd      *gorunc.Runc
	init     *launcher.Process
}

func (c *container) Init() *launcher.Process { return c.init }

func (c *container) Start(ctx context.Context) error {
	err := c.run(ctx, func(ctx context.Context) error { return c.cmd.Start(ctx, c.id) })
	if err != nil {
		return fmt.Errorf("runc start: %w", err)
	}
	if c.init.Handoff != nil {
		return c.init.Handoff.Run(ctx)
	}
	return nil
}

// Exec runs `runc exec`. The process runs when it returns: the runner of a
// guest has loaded its module.
func (c *container) Exec(ctx context.Context, r launcher.ExecRequest) (_ *launcher.Process, retErr error) {
	process := r.Process
	var handoff *launcher.Handoff
	if r.Plan.Kind == oci.Wasm {
		var err error
		if handoff, err = launcher.NewHandoff(r.Plan); err != nil {
			return nil, err
		}
		process = oci.RewriteProcess(process, r.Plan)
		defer func() {
			if retErr != nil {
				handoff.Close()
			}
		}()
	}
	logFile := c.dir.Path("exec-" + r.ID + "-log.json")
	opts := &gorunc.ExecOpts{PidFile: c.dir.Path("exec-" + r.ID + ".pid"), LogFile: logFile, Detach: true}
	defer os.Remove(logFile)
	defer os.Remove(opts.PidFile)
	provided := handoff.ProvideMeanwhile(ctx, r.Code)
	p, err := c.launcher.launch(r.Streams, r.Terminal, handoff, opts.PidFile, func(io gorunc.IO, files []*os.File, tty gorunc.ConsoleSocket) error {
		opts.IO, opts.ConsoleSocket = io, tty
		if len(files) > 0 { // the files themselves come by inherit
			opts.ExtraArgs = []string{"--preserve-fds", strconv.Itoa(len(files))}
		}
		return explain(logFile, c.bounded(ctx, func(ctx context.Context) error {
			return c.cmd.Exec(ctx, c.id, *process, opts)
		}))
	})
	provideErr := provided(err != nil)
	if err != nil {
		return nil, fmt.Errorf("runc exec: %w", err)
	}
	if handoff == nil {
		return p, nil
	}
	if provideErr == nil {
		provideErr = handoff.Run(ctx)
	}
	if provideErr != nil {
		p.Discard()
		return nil, provideErr
	}
	return p, nil
}

func (c *container) Pause(ctx context.Context) error {
	return c.run(ctx, func(ctx context.Context) error { return c.cmd.Pause(ctx, c.id) })
}

func (c *container) Resume(ctx context.Context) error {
	return c.run(ctx, func(ctx context.Context) error { return c.cmd.Resume(ctx, c.id) })
}

func (c *container) Update(ctx context.Context, resources *specs.LinuxResources) error {
	return c.run(ctx, func(ctx context.Context) error { return c.cmd.Update(ctx, c.id, resources) })
}

func (c *container) KillAll(ctx context.Context) error {
	return c.run(ctx, func(ctx context.Context) error {
		return c.cmd.Kill(ctx, c.id, int(unix.SIGKILL), &gorunc.KillOpts{All: true})
	})
}

// Delete first tries without force, which waits 100 ms even if nothing runs.
func (c *container) Delete(ctx context.Context) error {
	err := c.delete(ctx, false)
	if err != nil {
		err = c.delete(ctx, true)
	}
	return err
}

func (c *container) delete(ctx context.Context, force bool) error {
	err := c.run(ctx, func(ctx context.Context) error {
		return c.cmd.Delete(ctx, c.id, &gorunc.DeleteOpts{Force: force})
	})
	if err != nil && strings.Contains(err.Error(), "does not exist") {
		return nil
	}
	return err
}

// run executes a runc command and makes what runc said the error.
func (c *container) run(ctx context.Context, do func(context.Context) error) error {
	// The log is appended to; an earlier command's error is not this one's.
	_ = os.Remove(c.cmd.Log)
	return explain(c.cmd.Log, c.bounded(ctx, do))
}

// bounded lets a command outlive its request: containerd may die in the middle
// of any call, and runc killed halfway leaves half a container.
func (c *container) bounded(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	return do(ctx)
}

// explain replaces "exit status 1" by runc's own message.
func explain(log string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("runc is not installed: put it on containerd's PATH or set the runtime option BinaryName")
	}
	if msg := lastError(log); msg != "" {
		return errors.New(msg)
	}
	return err
}

// inherit gives a runc command the streams and files that the container's
// process inherits through it.
type inherit struct {
	gorunc.IO // go-runc calls nothing but Set

	streams *stdio.Streams
	files   []*os.File
}

// Set implements gorunc.IO. With a terminal there are no streams: runc's own
// output is captured then, and the process gets the terminal from runc.
func (i inherit) Set(cmd *exec.Cmd) {
	if in, out, err := i.streams.Files(); in != nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, err
	}
	cmd.ExtraFiles = i.files
}

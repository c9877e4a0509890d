// Package runc creates containers with the node's runc. Every feature of the
// OCI runtime spec works, because runc implements it; for a Wasm container the
// process that runc starts is our runner.
package runc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	gorunc "github.com/containerd/go-runc"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/stdio"
)

// commandTimeout bounds one runc command: a hung one must not hold a container
// for ever, and a busy node may need seconds.
const commandTimeout = 2 * time.Minute

// Launcher implements launcher.Launcher.
type Launcher struct {
	reaper  *reaper.Reaper
	options options.Options
}

// New returns a launcher that runs the runc of opts. The monitor of go-runc
// must be r's (see SetMonitor).
func New(r *reaper.Reaper, opts options.Options) *Launcher {
	return &Launcher{reaper: r, options: opts}
}

// SetMonitor makes all runc commands of this process use r, which reaps them.
func SetMonitor(r *reaper.Reaper) { gorunc.Monitor = r.Monitor() }

var _ launcher.Launcher = (*Launcher)(nil)

// Create runs `runc create`; runc's state goes into the bundle.
func (l *Launcher) Create(ctx context.Context, r launcher.Request) (_ launcher.Container, retErr error) {
	c := &container{
		id: r.ID, dir: r.Bundle, launcher: l,
		cmd: command(l.options, r.Bundle, l.options.UsesSystemd(r.Config.Spec)),
	}
	var handoff *launcher.Handoff
	if r.Plan.Kind == oci.Wasm {
		var err error
		if handoff, err = prepareWasm(r); err != nil {
			return nil, err
		}
	}
	defer func() {
		if retErr != nil {
			if handoff != nil {
				handoff.Close()
			}
			// runc cleans up after most of its failures, not after a kill.
			_ = c.Delete(context.WithoutCancel(ctx))
		}
	}()
	opts := &gorunc.CreateOpts{
		PidFile:      r.Bundle.Path("init.pid"),
		NoPivot:      l.options.NoPivotRoot,
		NoNewKeyring: l.options.NoNewKeyring,
	}
	provided := handoff.ProvideMeanwhile(ctx, r.Code)
	p, err := l.launch(r.Streams, r.Terminal, handoff, opts.PidFile, func(io gorunc.IO, files []*os.File, tty gorunc.ConsoleSocket) error {
		opts.IO, opts.ExtraFiles, opts.ConsoleSocket = io, files, tty
		return c.run(ctx, func(ctx context.Context) error {
			return c.cmd.Create(ctx, r.ID, string(r.Bundle), opts)
		})
	})
	provideErr := provided(err != nil)
	if err != nil {
		return nil, fmt.Errorf("runc create: %w", err)
	}
	if provideErr != nil {
		p.Discard()
		return nil, provideErr
	}
	c.init = p
	if r.Born != nil {
		r.Born(p)
	}
	return c, nil
}

// prepareWasm makes the bundle's config.json start the runner.
func prepareWasm(r launcher.Request) (*launcher.Handoff, error) {
	if err := oci.RequireProc(r.Config.Spec); err != nil {
		return nil, err
	}
	rewritten, err := r.Config.Rewrite(r.Plan)
	if err != nil {
		return nil, err
	}
	if err := bundle.WriteFile(r.Bundle.Path("config.json"), rewritten); err != nil {
		return nil, err
	}
	return launcher.NewHandoff(r.Plan)
}

// launch runs start, a runc command that leaves a process behind, and takes
// charge of that process.
func (l *Launcher) launch(streams *stdio.Streams, terminal bool, handoff *launcher.Handoff, pidFile string,
	start func(gorunc.IO, []*os.File, gorunc.ConsoleSocket) error,
) (*launcher.Process, error) {
	var files []*os.File
	if handoff != nil {
		files = handoff.Files()
	}
	var socket *gorunc.Socket
	var tty gorunc.ConsoleSocket // stays a nil interface without a terminal
	if terminal {
		var err error
		if socket, err = gorunc.NewTempConsoleSocket(); err != nil {
			return nil, fmt.Errorf("console socket: %w", err)
		}
		defer socket.Close()
		tty = socket
	}
	adoption := l.reaper.Adopt()
	defer adoption.Done()
	if err := start(inherit{streams: streams, files: files}, files, tty); err != nil {
		return nil, err
	}
	streams.ProcessStarted()
	if handoff != nil {
		handoff.Inherited()
	}
	pid, err := gorunc.ReadPidFile(pidFile)
	if err != nil {
		return nil, fmt.Errorf("read pid file: %w", err)
	}
	p, err := launcher.NewProcess(pid, adoption.Claim(pid), handoff)
	if err != nil {
		l.reaper.Kill(pid)
		return nil, err
	}
	if socket != nil {
		if err := attach(streams, socket); err != nil {
			p.Discard() // what `runc exec` has started runs already
			return nil, err
		}
	}
	return p, nil
}

// attach takes the terminal that runc has made.
func attach(streams *stdio.Streams, socket *gorunc.Socket) error {
	master, err := socket.ReceiveMaster()
	if err != nil {
		return fmt.Errorf("receive terminal: %w", err)
	}
	return streams.Attach(master)
}

// Cleanup kills and removes the container id whose bundle is dir, for the
// delete helper: no launcher, and perhaps no shim, is left. It is idempotent
// and succeeds if there is nothing.
func Cleanup(ctx context.Context, dir bundle.Dir, id string) error {
	if _, err := os.Stat(dir.RuncRoot()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	st, err := dir.ReadState()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	c := &container{id: id, dir: dir, cmd: command(options.Options{RuncBinary: st.RuncBinary}, dir, st.SystemdCgroup)}
	return c.Delete(ctx)
}

func command(o options.Options, dir bundle.Dir, systemd bool) *gorunc.Runc {
	return &gorunc.Runc{
		Command:       o.RuncBinary,
		Root:          dir.RuncRoot(),
		Log:           dir.Path("runc-log.json"),
		LogFormat:     gorunc.JSON,
		SystemdCgroup: systemd,
		Setpgid:       true,
	}
}

// lastError returns the last error in runc's log: runc's own stderr is the
// container's.
func lastError(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	var last string
	for line := range strings.Lines(string(data)) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "error" {
			last = entry.Msg
		}
	}
	return strings.TrimSpace(last)
}

// Package shim is the daemon: it serves the containers of one pod, or a single
// one, until the last of them is deleted.
package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/containerd/log"
	"github.com/containerd/ttrpc"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/containerdapi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/direct"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/pod"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/launcher/runc"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/rpc"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/sandbox"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/task"
)

const (
	// lastAnswer is how long the client that said Shutdown may take to hang up.
	lastAnswer = 500 * time.Millisecond
	// requestsEnd is how long requests may go on after Shutdown was answered.
	requestsEnd = 3 * time.Second
	// eventsEnd is how long the last events may take to reach containerd. It
	// may be away: nobody waits for a shim that has nothing left to do.
	eventsEnd = 10 * time.Second
)

// Config is how the daemon was started.
type Config struct {
	Namespace string
	Debug     bool
	// Containerd is the path of containerd's gRPC socket.
	Containerd string
	// Events is the address of containerd's ttrpc socket (TTRPC_ADDRESS).
	Events string
	// Listener is the socket on which containerd finds the shim.
	Listener net.Listener
	// Arrived and Retire: see task.Config.
	Arrived func(id string)
	Retire  func(ctx context.Context, l net.Listener, idle func() bool) (bool, error)
}

// Serve runs the daemon until its last container is deleted and containerd says
// Shutdown.
func Serve(c Config) error {
	memory := newTidier()
	logger, err := openLog(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	children := reaper.New()
	if err := children.Run(ctx); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	runc.SetMonitor(children)

	client := events.NewClient(c.Events)
	defer client.Close()
	queue := events.New(c.Namespace, client.Forward, logger)
	compiled := &caches{start: children.StartCommand, log: logger, known: make(map[cacheOptions]*codecache.Cache)}
	stopped := make(chan struct{}, 1)
	stop := func() {
		select {
		case stopped <- struct{}{}:
		default: // it stops already
		}
	}
	var pods *sandbox.Service
	service := task.NewService(task.Config{
		Namespace: c.Namespace,
		Publish: func(event events.Event) {
			memory.touch()
			queue.Publish(event)
		},
		Launcher:    launchers(children, logger),
		Cache:       compiled.of,
		Containerd:  containerdapi.New(strings.TrimPrefix(c.Containerd, "unix://"), c.Namespace),
		StartLogger: func(cmd *exec.Cmd) (<-chan struct{}, error) { return startChild(children, cmd) },
		Alone:       children.Alone,
		Run:         func(cmd *exec.Cmd) error { return run(children, cmd) },
		Flush:       queue.Flush,
		Arrived:     c.Arrived,
		Retire: func(ctx context.Context, idle func() bool) (bool, error) {
			return c.Retire(ctx, c.Listener, idle)
		},
		Held:    func() bool { return pods.Held() },
		Prepare: func(id string, dir bundle.Dir) error { return pods.PrepareMember(id, dir) },
		Stop:    stop,
		Log:     logger,
	})
	pods = sandbox.NewService(sandbox.Config{
		StartHolder: func(ctx context.Context, c pod.Config) (*pod.Holder, error) { return pod.Start(ctx, children, c) },
		Members:     service,
		Arrived:     c.Arrived,
		Log:         logger,
	})
	stopIfIdle := func() {
		if err := service.StopIfIdle(ctx); err != nil {
			logger.WithError(err).Warn("stop the shim")
		}
	}
	handleSignals(ctx, logger, stopIfIdle)
	listener := countClients(c.Listener, stopIfIdle)
	defer listener.stop()
	server, err := ttrpc.NewServer(
		ttrpc.WithServerHandshaker(sameUser{ttrpc.UnixSocketRequireSameUser()}),
		ttrpc.WithUnaryServerInterceptor(rpc.Intercept(logger)),
	)
	if err != nil {
		return err
	}
	service.Register(server)
	pods.Register(server)
	go func() {
		err := server.Serve(ctx, listener)
		if err != nil && !errors.Is(err, ttrpc.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			logger.WithError(err).Error("the socket is lost; running containers go on")
		}
	}()
	<-stopped
	listener.settle(lastAnswer)
	return shutDown(server, queue, logger)
}

// launchers returns what creates the containers with certain options.
func launchers(children *reaper.Reaper, logger *log.Entry) func(options.Options) launcher.Launcher {
	cloner := direct.NewCloner(children)
	usual := os.Getenv(options.LauncherEnv)
	if usual != options.LauncherRunc {
		go cloner.Prepare() // while containerd is on its way to the first request
	}
	return func(o options.Options) launcher.Launcher {
		if o.Launcher == "" {
			o.Launcher = usual
		}
		return direct.New(cloner, o, logger, runc.New(children, o))
	}
}

// shutDown answers what is under way and sends the last events.
func shutDown(server *ttrpc.Server, queue *events.Queue, logger *log.Entry) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestsEnd)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		logger.WithError(err).Debug("requests were still under way")
	}
	ctx, cancel = context.WithTimeout(context.Background(), eventsEnd)
	defer cancel()
	return queue.Close(ctx)
}

// run runs a program that the reaper waits for.
func run(children *reaper.Reaper, cmd *exec.Cmd) error {
	exits, err := children.StartCommand(cmd)
	if err != nil {
		return err
	}
	e := <-exits
	reaper.Flush(cmd)
	if e.Status != 0 {
		return fmt.Errorf("exit status %d", e.Status)
	}
	return nil
}

// startChild starts a program that the reaper waits for.
func startChild(children *reaper.Reaper, cmd *exec.Cmd) (<-chan struct{}, error) {
	exits, err := children.StartCommand(cmd)
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		<-exits
		reaper.Flush(cmd)
		close(ended)
	}()
	return ended, nil
}

// A process that goes into the cell and then runs a guest, for the cell's tests:
//
//	inmate MODULE DIRECTORY RULE [ARGUMENT...]
//	inmate calls DIRECTORY       try what the cell forbids
//	inmate walls DIRECTORY       try what Landlock alone forbids
//	inmate gateway RULE          answer requests
//
// DIRECTORY is the guest's /dir. RULE is the number of a rule of the filter that
// is left out, or -1. The guest's exit status is the process's; 125 if it did not
// come to that.
//
// The environment variable SOCKETS is the number of the cell.Sockets, and GATEWAY
// chooses the cell of who answers requests.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/linmem"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/seccomp"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/preview1"
)

const failed = 125

func main() {
	var status int
	var err error
	switch os.Args[1] {
	case "calls":
		err = calls(os.Args[2], sockets())
	case "walls":
		err = walls(os.Args[2])
	case "gateway":
		err = serve(os.Args[2])
	default:
		status, err = run(os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	}
	if err != nil && status == 0 {
		status = failed
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

func run(module, dir, rule string, args []string) (int, error) {
	ctx := context.Background()
	runtime, compiled, err := load(ctx, module)
	if err != nil {
		return failed, err
	}
	system, err := wasi.New(&job.Job{Args: append([]string{module}, args...), Preopens: []job.Preopen{{Guest: "/dir", Host: dir}, {Guest: "/proc", Host: "/proc"}}}, false)
	if err != nil {
		return failed, err
	}
	signal.Ignore(syscall.SIGPIPE)
	if err := lock(rule); err != nil {
		return failed, err
	}
	if len(args) > 0 && args[0] == "crash" {
		go func() { var p *int; *p = 1 }()
		select {}
	}
	if len(args) == 0 {
		work()
	}
	memory := linmem.Limited(512 << 20)
	ctx = preview1.WithSystem(experimental.WithMemoryAllocator(ctx, memory), system)
	instance, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return failed, err
	}
	_, err = instance.ExportedFunction("_start").Call(ctx)
	if memory.Refused() {
		return 137, err
	}
	var exit *sys.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return int(exit.ExitCode()), nil
	default:
		return 134, err
	}
}

func load(ctx context.Context, path string) (*engine.Runtime, wazero.CompiledModule, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	outline, err := engine.ParseOutline(data, path)
	if err != nil {
		return nil, nil, err
	}
	r := engine.NewCompiler(ctx)
	if err := r.CheckImports(ctx, outline, path); err != nil {
		return nil, nil, err
	}
	compiled, err := r.CompileHere(ctx, data, path, outline, 1)
	return r, compiled, err
}

// lock leaves out one rule, or is what a runner does.
func lock(rule string) error {
	omit, err := strconv.Atoi(rule)
	if err != nil {
		return err
	}
	if err := noNewPrivs(); err != nil {
		return err
	}
	if omit < 0 {
		return enter(sockets())
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	time.Sleep(1)
	p := policy(sockets())
	p.Rules = append(p.Rules[:omit:omit], p.Rules[omit+1:]...)
	return p.Load()
}

func isGateway() bool { return os.Getenv("GATEWAY") != "" }

func policy(s cell.Sockets) *seccomp.Policy {
	if isGateway() {
		return cell.GatewayPolicy(os.Getpid(), s)
	}
	return cell.Policy(os.Getpid(), s)
}

func enter(s cell.Sockets) error {
	if isGateway() {
		return cell.LockGateway(s, "")
	}
	return cell.Lock(s, "")
}

// sockets is what the environment says.
func sockets() cell.Sockets {
	n, _ := strconv.Atoi(os.Getenv("SOCKETS"))
	return cell.Sockets(n)
}

var sink []byte

// work makes the Go runtime do what it does in long-lived processes: collect
// garbage while others run, interrupt those who do not stop by themselves, start
// and end threads, give memory back.
func work() {
	var stop atomic.Bool
	for range 2 {
		go func() {
			for !stop.Load() { // no point at which it would stop by itself
			}
		}()
		go func() {
			runtime.LockOSThread() // and end it
			time.Sleep(time.Millisecond)
		}()
	}
	for range 3 {
		sink = make([]byte, 16<<20)
		runtime.GC()
	}
	stop.Store(true)
	sink = nil
	debug.FreeOSMemory()
}

package compile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

// shimEnv makes the test binary a shim that compiles with a hostile compiler: its
// deed, the compiler's path, the parent of its cgroups, the module. It says the pid, the error and the number of descriptors of
// three compilers.
const shimEnv = "COMPILE_TEST_SHIM"

// shim has a reaper, as the real one has.
func shim(deed string) {
	children := reaper.New()
	// Groups that a compiler must not keep.
	if err := errors.Join(children.Run(context.Background()), syscall.Setgroups([]int{4, 24})); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	c := New(Config{Timeout: time.Minute, Start: func(cmd *exec.Cmd) (<-chan reaper.Exit, error) {
		exits, err := children.StartCommand(cmd)
		if err == nil {
			fmt.Println(cmd.Process.Pid)
		}
		return exits, err
	}})
	c.environ = []string{"HOSTILE_DEED=" + deed}
	c.binary = func() (*os.File, error) { return os.Open(os.Args[1]) }
	c.cgroup = os.Args[2]
	module, err := os.Open(os.Args[3])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for range 3 {
		_, err = c.Compile(context.Background(), codecache.Module{File: module, Name: "/app.wasm"}, entry.Digest{})
		entries, _ := os.ReadDir("/proc/self/fd")
		fmt.Println(err)
		fmt.Println(len(entries))
	}
	os.Exit(0)
}

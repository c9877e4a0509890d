// The runner alone, for its tests: what the shim's main does for this role. As
//
//	runner compile MODULE ENTRY
//
// it makes an entry of the cache, as the shim and the compiler do together. It
// exits with 3 and the reason if the module is refused.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgi"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "compile" {
		os.Exit(compile(os.Args[2], os.Args[3]))
	}
	if os.Getenv(job.RoleEnv) == job.RoleServer {
		os.Exit(runner.MainServing(cgi.Open))
	}
	os.Exit(runner.Main())
}

func compile(module, path string) int {
	data, err := os.ReadFile(module)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code, err := engine.Compile(context.Background(), data, module, 1)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	if err := write(data, code, path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func write(module []byte, code *engine.Code, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return entry.Create(f, entry.Header{
		Module: sha256.Sum256(module), ModuleSize: int64(len(module)), Engine: entry.Current(), EngineKey: code.Key,
		PrefixSize: int64(len(code.Prefix)), CodeSize: int64(len(code.Code)), SuffixSize: int64(len(code.Suffix)),
	}, io.MultiReader(bytes.NewReader(code.Prefix), bytes.NewReader(code.Code), bytes.NewReader(code.Suffix)))
}

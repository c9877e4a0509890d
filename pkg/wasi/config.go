// Package wasi gives guests what they import: WASI preview 1, as documented at
// https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md.
package wasi

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental/sysfs"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// Config returns what a guest sees of its surroundings: the real clocks, random
// numbers, arguments, environment, directories and the process's stdio.
//
// wazero's defaults for clocks, sleep and random numbers are imitations that
// make guests deterministic; a container expects the real ones.
func Config(args, env []string, preopens []job.Preopen) (wazero.ModuleConfig, error) {
	if err := checkStrings("argument", args); err != nil {
		return nil, err
	}
	if err := checkStrings("environment variable", env); err != nil {
		return nil, err
	}
	dirs := wazero.NewFSConfig()
	for _, p := range preopens {
		if err := checkDirectory(p); err != nil {
			return nil, err
		}
		dirs = dirs.(sysfs.FSConfig).WithSysFSMount(newDirectory(p.Host), p.Guest)
	}
	config := wazero.NewModuleConfig().
		WithName("").
		WithStartFunctions().
		WithArgs(args...).
		WithFSConfig(dirs).
		WithSysWalltime().
		WithSysNanotime().
		WithSysNanosleep().
		WithOsyield(newYielder().yield).
		WithRandSource(rand.Reader).
		WithStdin(os.Stdin).
		WithStdout(os.Stdout).
		WithStderr(os.Stderr)
	for _, variable := range env {
		// As execve does, pass on only what has a name.
		if key, value, ok := strings.Cut(variable, "="); ok && key != "" {
			config = config.WithEnv(key, value)
		}
	}
	return config, nil
}

// checkStrings refuses what cannot be passed on as a C string.
func checkStrings(kind string, list []string) error {
	for _, s := range list {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("%s %q contains a zero byte", kind, s)
		}
	}
	return nil
}

func checkDirectory(p job.Preopen) error {
	info, err := os.Stat(p.Host)
	if err != nil {
		return fmt.Errorf("preopen %q: %w", p.Guest, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("preopen %q: %s is not a directory", p.Guest, p.Host)
	}
	return nil
}

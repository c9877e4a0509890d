package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// goInstall builds commands of a module as they are published.
type goInstall struct {
	pkgs []string
	cgo  bool
	tags string
	set  map[string]string // variables that the linker sets
}

func (g goInstall) make(ctx context.Context, j job) error {
	args := append([]string{"install"}, buildFlags(g.tags, g.set)...)
	for _, p := range g.pkgs {
		args = append(args, p+"@v"+j.version)
	}
	return runGo(ctx, j.work, g.cgo, []string{"GOBIN=" + j.out}, nil, args...)
}

// goCopy builds commands of a module in a writable copy: go install refuses
// modules with replace or exclude directives, and modules without a go.mod.
type goCopy struct {
	module, suffix string // suffix is appended to the version: "+incompatible"
	// sum is the module's checksum as in go.sum. With it, go's checksum database
	// is not asked about this module.
	sum   string
	pkgs  []string
	tests []string // packages whose test binaries are commands, too
	cgo   bool
	tags  string
	set   map[string]string
}

func (g goCopy) make(ctx context.Context, j job) error {
	var stdout bytes.Buffer
	var env []string
	if g.sum != "" {
		env = []string{"GONOSUMDB=" + g.module}
	}
	err := runGo(ctx, j.work, false, env, &stdout, "mod", "download", "-json", g.module+"@v"+j.version+g.suffix)
	if err != nil {
		return err
	}
	var download struct{ Dir, Sum string }
	if err := json.Unmarshal(stdout.Bytes(), &download); err != nil {
		return fmt.Errorf("read the answer of go mod download: %w", err)
	}
	if g.sum != "" && download.Sum != g.sum {
		return fmt.Errorf("%s has the checksum %s, expected %s", g.module, download.Sum, g.sum)
	}
	src := filepath.Join(j.work, "src")
	if err := copyTree(src, download.Dir); err != nil {
		return err
	}
	if err := useVendorMod(src); err != nil {
		return err
	}
	args := append([]string{"build", "-o", j.out + "/"}, buildFlags(g.tags, g.set)...)
	if err := runGo(ctx, src, g.cgo, nil, nil, append(args, g.pkgs...)...); err != nil {
		return err
	}
	for _, pkg := range g.tests {
		args := append([]string{"test", "-c", "-o", filepath.Join(j.out, filepath.Base(pkg))}, buildFlags(g.tags, g.set)...)
		if err := runGo(ctx, src, g.cgo, nil, nil, append(args, pkg)...); err != nil {
			return err
		}
	}
	return nil
}

// useVendorMod puts go.mod and go.sum in place for projects that keep them as
// vendor.mod and vendor.sum (docker/cli).
func useVendorMod(src string) error {
	if _, err := os.Stat(filepath.Join(src, "vendor.mod")); err != nil {
		return nil
	}
	for _, ext := range []string{"mod", "sum"} {
		if err := os.Rename(filepath.Join(src, "vendor."+ext), filepath.Join(src, "go."+ext)); err != nil {
			return fmt.Errorf("use vendor.%s: %w", ext, err)
		}
	}
	return nil
}

func buildFlags(tags string, set map[string]string) []string {
	ld := []string{"-s", "-w"}
	for name, value := range set {
		ld = append(ld, "-X "+name+"="+value)
	}
	sort.Strings(ld[2:]) // the same command line every time
	flags := []string{"-trimpath", "-ldflags", strings.Join(ld, " ")}
	if tags != "" {
		flags = append(flags, "-tags", tags)
	}
	return flags
}

// runGo runs the go command in dir. Its output is shown only if it fails; until
// then a line every half minute tells that it is alive.
func runGo(ctx context.Context, dir string, cgo bool, env []string, stdout io.Writer, args ...string) error {
	enabled := "CGO_ENABLED=0"
	if cgo {
		enabled = "CGO_ENABLED=1"
	}
	// GOFLAGS and GOWORK of the caller are about his project, not about this one.
	env = append(append(os.Environ(), enabled, "GOWORK=off", "GOFLAGS=-mod=mod -buildvcs=false"), env...)
	return runQuietly(ctx, dir, env, stdout, "go", args...)
}

func runQuietly(ctx context.Context, dir string, env []string, stdout io.Writer, name string, args ...string) error {
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.Stdout = dir, env, &log, &log
	if stdout != nil {
		cmd.Stdout = stdout
	}
	// A group of its own, so that an interrupt ends the compilers as well.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }

	done := make(chan struct{})
	defer close(done)
	go sayAlive(done, time.Now())
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, log.Bytes())
	}
	return nil
}

func sayAlive(done <-chan struct{}, begin time.Time) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			fmt.Fprintf(os.Stderr, "  … %s\n", time.Since(begin).Round(time.Second))
		}
	}
}

// copyTree copies regular files and directories and makes them writable.
func copyTree(dst, src string) error {
	return filepath.WalkDir(src, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o644)
	})
}

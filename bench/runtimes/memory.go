package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

const (
	// startWidth is how many idle containers are started at the same time.
	startWidth = 4
	// rest is what containers get to come to rest before they are looked at.
	rest = 2 * time.Second
)

// memory measures idle containers.
func (b *bench) memory(ctx context.Context) ([]Memory, error) {
	var all []Memory
	err := b.each(func(v Variant, p Program) error {
		m, err := b.crowd(ctx, v, p, of(b.plan.idle, p))
		all = append(all, m...)
		return err
	})
	return all, err
}

// crowd starts more and more idle containers and looks at each of the counts.
func (b *bench) crowd(ctx context.Context, v Variant, p Program, counts []int) (all []Memory, err error) {
	before, err := pids()
	if err != nil {
		return nil, err
	}
	var containers []*container
	defer func() {
		err = errors.Join(err, inParallel(startWidth, len(containers), func(i int) error { return containers[i].remove(ctx) }))
		if err == nil {
			err = waitForPids(before)
		}
	}()
	for _, count := range counts {
		more := make([]*container, count-len(containers))
		err := inParallel(startWidth, len(more), func(i int) (err error) {
			more[i], err = b.idle(ctx, b.job("idle", v, p))
			return err
		})
		for _, c := range more {
			if c != nil {
				containers = append(containers, c)
			}
		}
		if err != nil {
			return nil, err
		}
		time.Sleep(rest)
		m := Memory{Variant: v.Name, Program: p.Name, Containers: count}
		if err := b.newPSS(before, &m); err != nil {
			return nil, err
		}
		for _, c := range containers {
			if err := c.requireRunning(ctx); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", v.Name, p.Name, err)
			}
			bytes, err := cgroupMemory(filepath.Join(b.Namespace(), c.ID()))
			if err != nil {
				return nil, err
			}
			m.Cgroup += bytes
		}
		for _, sum := range []*float64{&m.PSS, &m.Shim, &m.Container, &m.Processes, &m.Cgroup} {
			*sum /= float64(count)
		}
		all = append(all, m)
	}
	return all, nil
}

// pids are the processes of this PID namespace, where nothing else runs.
func pids() (map[int]bool, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := map[int]bool{}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all[pid] = true
		}
	}
	return all, nil
}

// waitForPids waits until no other processes are there.
func waitForPids(before map[int]bool) error {
	var left []int
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		now, err := pids()
		if err != nil {
			return err
		}
		left = left[:0]
		for pid := range now {
			if !before[pid] {
				left = append(left, pid)
			}
		}
		if len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("processes %v are left by containers that have been deleted", left)
}

// newPSS sums the proportional memory of all processes that were not there
// before: shims, what they need besides, and the containers.
func (b *bench) newPSS(before map[int]bool, m *Memory) error {
	now, err := pids()
	if err != nil {
		return err
	}
	for pid := range now {
		if before[pid] {
			continue
		}
		bytes, err := pss(pid)
		cgroups, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err = errors.Join(err, err2); errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has just ended
		}
		if err != nil {
			return err
		}
		m.PSS += bytes
		m.Processes++
		if strings.Contains(string(cgroups), "/"+b.Namespace()+"/") {
			m.Container += bytes
		} else {
			m.Shim += bytes
		}
	}
	return nil
}

// pss is the proportional share of memory of a process, in bytes.
func pss(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "Pss:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib * 1024, err
		}
	}
	return 0, nil // a zombie
}

// cgroupMemory is what a cgroup is charged with, in bytes; 0 if there is none, as
// with shims that do nothing.
func cgroupMemory(path string) (float64, error) {
	for _, dir := range isolated.Cgroups(path) {
		for _, file := range []string{"memory.current", "memory.usage_in_bytes"} {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return 0, err
			}
			return strconv.ParseFloat(string(bytes.TrimSpace(data)), 64)
		}
	}
	return 0, nil
}

// forgetFiles drops the binaries and the images from the page cache, as far as
// no process has them mapped.
func (b *bench) forgetFiles() error {
	unix.Sync()
	for _, root := range append(b.Bin.All(), filepath.Join(b.Dir, "root", "io.containerd.snapshotter.v1.overlayfs")) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				err = forget(path)
			}
			if errors.Is(err, fs.ErrNotExist) { // containerd removes snapshots when it likes
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func forget(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("drop %s from memory: %w", path, err)
	}
	return nil
}

package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3"
	reader1 "github.com/containerd/cgroups/v3/cgroup1"
	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	reader2 "github.com/containerd/cgroups/v3/cgroup2"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// figures of a container, of either version of cgroups.
type figures struct {
	memory, limit, pids uint64
	cpu                 time.Duration
}

func (c *container) metrics(t testing.TB) proto.Message {
	t.Helper()
	any, err := c.stats()
	must(t, err)
	v, err := typeurl.UnmarshalAny(any)
	must(t, err)
	m, ok := v.(proto.Message)
	if !ok {
		t.Fatalf("figures are a %T", v)
	}
	return m
}

// library is what the library that other shims use reads in a cgroup.
func library(t testing.TB, path string) proto.Message {
	t.Helper()
	if cgroups.Mode() == cgroups.Unified {
		manager, err := reader2.Load(path)
		must(t, err)
		m, err := manager.Stat()
		must(t, err)
		return m
	}
	control, err := reader1.Load(reader1.StaticPath(path))
	must(t, err)
	m, err := control.Stat(reader1.IgnoreNotExist)
	must(t, err)
	return m
}

func (c *container) figures(t testing.TB) figures {
	t.Helper()
	switch m := c.metrics(t).(type) {
	case *cgroup1.Metrics:
		return figures{m.GetMemory().GetUsage().GetUsage(), m.GetMemory().GetUsage().GetLimit(), m.GetPids().GetCurrent(), time.Duration(m.GetCPU().GetUsage().GetTotal())}
	case *cgroup2.Metrics:
		return figures{m.GetMemory().GetUsage(), m.GetMemory().GetUsageLimit(), m.GetPids().GetCurrent(), time.Duration(m.GetCPU().GetUsageUsec()) * time.Microsecond}
	default:
		t.Fatalf("figures are a %T", m)
		return figures{}
	}
}

// TestFiguresOfAGuest are its own, and can be had until Delete.
func TestFiguresOfAGuest(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "alloc", "32", "hold")
		most := int64(300 << 20)
		c.spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &most}
		out := c.withOutput()
		c.run()
		out.stdout.WaitFor(t, "allocated")
		idle := c.figures(t)
		if idle.memory < 32<<20 || idle.memory > 100<<20 || idle.limit != uint64(most) || idle.pids < 1 {
			t.Errorf("figures of a guest with 32 MiB: %+v", idle)
		}
		c.execRun("e", stdio{}, k.multi, "spin")
		testenv.Eventually(t, "cost of computing", func() error {
			if busy := c.figures(t); busy.cpu < idle.cpu+50*time.Millisecond {
				return fmt.Errorf("it is %s", busy.cpu-idle.cpu)
			}
			return nil
		})
		must(t, c.kill("", syscall.SIGKILL))
		c.exitStatus("")
		if end := c.figures(t); end.cpu < idle.cpu || end.pids != 0 || end.limit != uint64(most) {
			t.Errorf("figures after the end: %+v", end)
		}
		for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) { // the kernel may still count
			before, got, after := library(t, "/"+d.ns+"/c"), c.metrics(t), library(t, "/"+d.ns+"/c")
			for _, m := range []proto.Message{before, got, after} {
				sortPages(m)
			}
			if proto.Equal(before, after) {
				if !proto.Equal(got, before) {
					t.Errorf("figures are\n%v, those of the library\n%v", got, before)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the figures never rest")
			}
		}
	})
}

// sortPages by size: they come in the order of a directory.
func sortPages(m proto.Message) {
	if m, ok := m.(*cgroup2.Metrics); ok {
		slices.SortFunc(m.Hugetlb, func(a, b *cgroup2.HugeTlbStat) int { return strings.Compare(a.Pagesize, b.Pagesize) })
	}
}

// TestUpdate changes the limits that the kernel enforces.
func TestUpdate(t *testing.T) {
	eachGuest(t, func(t *testing.T, d *daemon, k kind) {
		c := d.container("c", k.multi, "sleep").run()
		memory, pids := int64(123<<20), int64(77)
		must(t, c.update(&specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: &memory},
			Pids:   &specs.LinuxPids{Limit: &pids},
		}))
		if f := c.figures(t); f.limit != uint64(memory) {
			t.Errorf("limit is %d, want %d", f.limit, memory)
		}
		files, err := filepath.Glob("/sys/fs/cgroup/*/" + d.ns + "/c/pids.max")
		must(t, err)
		unified, err := filepath.Glob("/sys/fs/cgroup/" + d.ns + "/c/pids.max")
		must(t, err)
		for _, path := range append(files, unified...) {
			data, err := os.ReadFile(path)
			must(t, err)
			if got := strings.TrimSpace(string(data)); got != strconv.FormatInt(pids, 10) {
				t.Errorf("%s is %s, want %d", path, got, pids)
			}
		}
		bad := int64(-77)
		requireKind(t, "Update with nonsense", c.update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &bad}}), other)
	})
}

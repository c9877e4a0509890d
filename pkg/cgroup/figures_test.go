package cgroup

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3/cgroup1"
	stats1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	"github.com/containerd/cgroups/v3/cgroup2"
	stats2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
)

// decoded are the figures as containerd gets them, by their type's URL.
func decoded(t *testing.T, c Cgroup) proto.Message {
	t.Helper()
	f, err := c.Stats()
	if err != nil {
		t.Fatal(err)
	}
	v, err := typeurl.UnmarshalAny(&anypb.Any{TypeUrl: f.TypeURL, Value: f.Value})
	if err != nil {
		t.Fatal(err)
	}
	m := v.(proto.Message)
	if unknown := m.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Errorf("fields that containerd does not know: %x", unknown)
	}
	sortHugepages(m)
	return m
}

// sortHugepages, which the library lists in the order of a directory.
func sortHugepages(m proto.Message) {
	switch m := m.(type) {
	case *stats1.Metrics:
		slices.SortFunc(m.Hugetlb, func(a, b *stats1.HugetlbStat) int { return strings.Compare(a.Pagesize, b.Pagesize) })
	case *stats2.Metrics:
		slices.SortFunc(m.Hugetlb, func(a, b *stats2.HugeTlbStat) int { return strings.Compare(a.Pagesize, b.Pagesize) })
	}
}

// tree makes files in directories of the test's own; a name is CONTROLLER/FILE, or
// FILE on v2.
func tree(t *testing.T, files ...map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for _, files := range files {
		for name, text := range files {
			name = filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func library2(t *testing.T, root, path string) *stats2.Metrics {
	t.Helper()
	manager, err := cgroup2.Load(path, cgroup2.WithMountpoint(root))
	if err != nil {
		t.Fatal(err)
	}
	m, err := manager.Stat()
	if err != nil {
		t.Fatal(err)
	}
	sortHugepages(m)
	return m
}

// numbered gives every name another number.
func numbered(first uint64, format string, names ...string) string {
	var text strings.Builder
	for i, name := range names {
		fmt.Fprintf(&text, format, name, first+uint64(i))
	}
	return text.String()
}

const pressure = "some avg10=1.25 avg60=0.50 avg300=33.03 total=81920\nfull avg10=0.00 avg60=0.25 avg300=3.00 total=4096\n"

// recorded2 are files of a cgroup v2 as Linux 6.12 writes them.
var recorded2 = map[string]string{
	"pids.current": "3\n", "pids.max": "max\n",
	"cpu.stat": numbered(100, "%s %d\n", "usage_usec", "user_usec", "system_usec", "nice_usec", "core_sched.force_idle_usec",
		"nr_periods", "nr_throttled", "throttled_usec", "nr_bursts", "burst_usec"),
	"cpu.pressure": pressure, "memory.pressure": pressure,
	"io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.07 total=9\n", // without the other line
	"memory.stat": numbered(1<<33, "%s %d\n", "anon", "file", "kernel", "kernel_stack", "pagetables", "sec_pagetables", "percpu",
		"sock", "vmalloc", "shmem", "zswap", "zswapped", "file_mapped", "file_dirty", "file_writeback", "swapcached",
		"anon_thp", "file_thp", "shmem_thp", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable",
		"slab_reclaimable", "slab_unreclaimable", "slab", "workingset_refault_anon", "workingset_refault_file",
		"workingset_refault", "workingset_activate", "workingset_nodereclaim", "pgdemote_kswapd", "pgscan", "pgsteal",
		"pgscan_kswapd", "pgfault", "pgmajfault", "pgrefill", "pgactivate", "pgdeactivate", "pglazyfree", "pglazyfreed",
		"thp_fault_alloc", "thp_collapse_alloc"),
	"memory.current": "41\n", "memory.max": "max\n", "memory.peak": "43\n",
	"memory.swap.current": "44\n", "memory.swap.max": "18446744073709551615\n", "memory.swap.peak": "46\n",
	"memory.events": numbered(50, "%s %d\n", "low", "high", "max", "oom", "oom_kill", "oom_group_kill"),
	"io.stat": "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=7 dios=9\n" +
		"259:0 254:0 rbytes=1 wbytes=2 rios=3 wios=4 cost.usage=0.5 cost.vrate=100.00\n" + // as some kernels do
		"7:0\n7:1 \nloop rbytes=1\n252:1 rbytes=0\n",
	"rdma.current": "mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 hca_object=max\nodd hca_handle=1\n",
	"rdma.max":     "mlx4_0 hca_handle=max hca_object=2000\n",
}

// hugepages are files for the page sizes of this host.
func hugepages(prefix, usage, most, failures, failure string) map[string]string {
	files := map[string]string{}
	for i, size := range hugePageSizes() {
		name := prefix + "hugetlb." + size
		files[name+usage] = strconv.Itoa(1000 + i)
		files[name+most] = "max"
		files[name+failures] = failure + strconv.Itoa(3000+i)
	}
	return files
}

func TestFiguresOfV2AreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	pages := hugepages("", ".current", ".max", ".events", "max ")
	without := func(prefix string) map[string]string {
		files := maps.Clone(recorded2)
		maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasPrefix(name, prefix) })
		return files
	}
	for name, files := range map[string][]map[string]string{
		"all": {recorded2, pages}, "none": nil, "no hugetlb": {recorded2}, "no memory": {without("memory."), pages},
		"no cpu": {without("cpu.")}, "no io": {without("io.")}, "no pids": {without("pids.")}, "no rdma": {without("rdma.")},
		"no pressure": {without("cpu.pressure"), {"memory.current": "-1"}},
	} {
		root := tree(t, files...)
		want, got := library2(t, filepath.Dir(root), "/"+filepath.Base(root)), decoded(t, &v2{dir: root})
		if !proto.Equal(got, want) {
			t.Errorf("%s:\n%v, want\n%v", name, got, want)
		}
	}
}

// recorded1 are files of cgroup v1 as Linux 4.19 writes them.
var recorded1 = map[string]string{
	"pids/pids.current": "3\n", "pids/pids.max": "max\n",
	"cpu/cpu.stat":                 numbered(100, "%s %d\n", "nr_periods", "nr_throttled", "throttled_time", "wait_sum"),
	"cpuacct/cpuacct.stat":         "user 123\nsystem 45\n",
	"cpuacct/cpuacct.usage":        "98765432123\n",
	"cpuacct/cpuacct.usage_percpu": "98765432000 0 123 \n",
	"memory/memory.stat": numbered(1<<33, "%s %d\n", "cache", "rss", "rss_huge", "shmem", "mapped_file", "dirty", "writeback", "swap",
		"pgpgin", "pgpgout", "pgfault", "pgmajfault", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable",
		"hierarchical_memory_limit", "hierarchical_memsw_limit", "total_cache", "total_rss", "total_rss_huge", "total_shmem",
		"total_mapped_file", "total_dirty", "total_writeback", "total_swap", "total_pgpgin", "total_pgpgout", "total_pgfault",
		"total_pgmajfault", "total_inactive_anon", "total_active_anon", "total_inactive_file", "total_active_file", "total_unevictable"),
	"memory/memory.oom_control":                 "oom_kill_disable 1\nunder_oom 0\noom_kill 7\n",
	"memory/memory.usage_in_bytes":              "1",
	"memory/memory.max_usage_in_bytes":          "2",
	"memory/memory.failcnt":                     "3",
	"memory/memory.limit_in_bytes":              "9223372036854771712\n",
	"memory/memory.memsw.usage_in_bytes":        "5",
	"memory/memory.memsw.max_usage_in_bytes":    "6",
	"memory/memory.memsw.failcnt":               "7",
	"memory/memory.memsw.limit_in_bytes":        "8",
	"memory/memory.kmem.usage_in_bytes":         "9",
	"memory/memory.kmem.max_usage_in_bytes":     "10",
	"memory/memory.kmem.failcnt":                "11",
	"memory/memory.kmem.limit_in_bytes":         "12",
	"memory/memory.kmem.tcp.usage_in_bytes":     "13",
	"memory/memory.kmem.tcp.max_usage_in_bytes": "14",
	"memory/memory.kmem.tcp.failcnt":            "15",
	"memory/memory.kmem.tcp.limit_in_bytes":     "16",
	"rdma/rdma.current":                         "mlx4_0 hca_handle=2 hca_object=2000\n",
	"rdma/rdma.max":                             "mlx4_0 hca_handle=max hca_object=max\n",
	"blkio/blkio.throttle.io_serviced":          "8:0 Read 10\n8:0 Total 10\nTotal 10\n",
	"blkio/blkio.throttle.io_service_bytes":     "8:0 Read 4096\nTotal 4096\n",
}

// scheduler are the files of the scheduler CFQ.
var scheduler = map[string]string{
	"blkio/blkio.sectors_recursive":          "8:0 1\n",
	"blkio/blkio.io_service_bytes_recursive": "8:0 Read 2\n254:0 Write 3\nTotal 5\n",
	"blkio/blkio.io_serviced_recursive":      "8:0 Read 4\n8:0 Write 0\nTotal 4\n",
	"blkio/blkio.io_queued_recursive":        "8:0 Async 5\nTotal 5\n",
	"blkio/blkio.io_service_time_recursive":  "8:0 Discard 6\nTotal 6\n",
	"blkio/blkio.io_wait_time_recursive":     "8:0 Read 7\nTotal 7\n",
	"blkio/blkio.io_merged_recursive":        "8:0 Read 8\nTotal 8\n",
	"blkio/blkio.time_recursive":             "8:0 9\n",
}

// quiet are those files where CFQ has not done anything.
var quiet = map[string]string{
	"blkio/blkio.sectors_recursive": "", "blkio/blkio.io_service_bytes_recursive": "Total 0\n", "blkio/blkio.io_serviced_recursive": "Total 0\n",
	"blkio/blkio.io_queued_recursive": "Total 0\n", "blkio/blkio.io_service_time_recursive": "Total 0\n",
	"blkio/blkio.io_wait_time_recursive": "Total 0\n", "blkio/blkio.io_merged_recursive": "Total 0\n", "blkio/blkio.time_recursive": "",
}

var controllers1 = []string{"hugetlb", "pids", "cpu", "cpuacct", "memory", "blkio", "rdma"}

// library1 reads the cgroup in root/CONTROLLER/path.
func library1(t *testing.T, root string, path cgroup1.Path) *stats1.Metrics {
	t.Helper()
	huge, err := cgroup1.NewHugetlb(root)
	if err != nil {
		t.Fatal(err)
	}
	control, err := cgroup1.Load(path, cgroup1.WithHierarchy(func() ([]cgroup1.Subsystem, error) {
		return []cgroup1.Subsystem{
			cgroup1.NewPids(root), cgroup1.NewCpu(root), cgroup1.NewCpuacct(root), cgroup1.NewMemory(root),
			cgroup1.NewBlkio(root), cgroup1.NewRdma(root), huge,
		}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := control.Stat(cgroup1.IgnoreNotExist)
	if err != nil {
		t.Fatal(err)
	}
	sortHugepages(m)
	return m
}

func at1(root, path string) *v1 {
	c := &v1{dirs: map[string]string{}}
	for _, controller := range controllers1 {
		c.dirs[controller] = filepath.Join(root, controller, path)
	}
	c.dir = c.dirs["memory"]
	return c
}

func TestFiguresOfV1AreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	pages := hugepages("hugetlb/", ".usage_in_bytes", ".max_usage_in_bytes", ".failcnt", "")
	without := func(prefix string) map[string]string {
		files := maps.Clone(recorded1)
		maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasPrefix(name, prefix) })
		files["memory/there"] = "" // the directory
		return files
	}
	disk := map[string]string{"blkio/blkio.throttle.io_serviced": ""} // of this host
	for _, partition := range strings.Split(readFile(t, "/proc/partitions"), "\n") {
		if words := strings.Fields(partition); len(words) == 4 && words[0] != "major" {
			disk["blkio/blkio.throttle.io_serviced"] += words[0] + ":" + words[1] + " Write 77\n"
		}
	}
	for name, files := range map[string][]map[string]string{
		"all": {recorded1, pages}, "scheduler": {recorded1, scheduler}, "quiet scheduler": {recorded1, quiet}, "disk": {recorded1, disk},
		"no memory": {without("memory/"), pages}, "no cpu": {without("cpu/")}, "no cpuacct": {without("cpuacct/")},
		"no blkio": {without("blkio/")}, "no pids": {without("pids/")}, "no rdma": {without("rdma/")},
		"root": {without("pids/pids."), {"pids/there": ""}}, "no kmem": {without("memory/memory.kmem")},
		"odd numbers": {recorded1, {"memory/memory.limit_in_bytes": "-1", "pids/pids.current": "max"}},
		"one device":  {recorded1, {"rdma/rdma.max": ""}},
	} {
		root := tree(t, files...)
		if got, want := decoded(t, at1(root, "")), library1(t, root, cgroup1.RootPath); !proto.Equal(got, want) {
			t.Errorf("%s:\n%v, want\n%v", name, got, want)
		}
	}
	// The library stops where swap is not accounted.
	got := decoded(t, at1(tree(t, without("memory/memory.memsw")), "")).(*stats1.Metrics).GetMemory()
	if got.GetSwap().String() != "" || got.GetKernel().GetUsage() != 9 || got.GetKernelTCP().GetLimit() != 16 {
		t.Errorf("without swap accounting: %v", got)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestFiguresOfARealCgroupAreThoseOfTheLibrary also compares the unified hierarchy of
// the hybrid form, which has no controllers but figures of its own.
func TestFiguresOfARealCgroupAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 64<<20)
	unified := "/sys/fs/cgroup"
	path := "/" + filepath.Base(g.dirs[0])
	if !cgroupfs.V2() {
		if unified += "/unified"; os.Mkdir(unified+path, 0o755) == nil {
			g.dirs = append(g.dirs, unified+path)
		} else {
			unified = ""
		}
	}
	cmd := g.run("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; cat /proc/self/maps > /dev/null; exec sleep 600")
	for deadline := time.Now().Add(patience); readFile(t, fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid)) != "sleep\n"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to rest")
		}
	}
	at, err := At(path)
	if err != nil {
		t.Fatal(err)
	}
	compare := func(c Cgroup, library func() proto.Message) {
		t.Helper()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			before, got, after := library(), decoded(t, c), library()
			if proto.Equal(before, after) {
				if !proto.Equal(got, before) {
					t.Errorf("%v, want\n%v", got, before)
				}
				return
			}
		}
		t.Error("the figures never rest")
	}
	if unified != "" {
		compare(&v2{dir: unified + path}, func() proto.Message { return library2(t, unified, path) })
	}
	if !cgroupfs.V2() {
		compare(of(t, cmd), func() proto.Message { return library1(t, "/sys/fs/cgroup", cgroup1.PidPath(cmd.Process.Pid)) })
		compare(at, func() proto.Message { return library1(t, "/sys/fs/cgroup", cgroup1.StaticPath(path)) })
	}
}

func TestFiguresThatAreNoNumbersAreErrors(t *testing.T) {
	t.Parallel()
	number := regexp.MustCompile(`(?m)(^|[ =])(\d|max)`)
	for _, name := range []string{
		"pids.current", "pids.max", "cpu.stat", "cpu.pressure", "memory.stat", "memory.current", "memory.swap.max",
		"memory.events", "io.stat", "rdma.max",
	} {
		broken := number.ReplaceAllString(recorded2[name], "${1}x")
		root := tree(t, recorded2, map[string]string{name: broken})
		if f, err := (&v2{dir: root}).Stats(); err == nil || !strings.Contains(err.Error(), filepath.Join(root, name)+": ") {
			t.Errorf("%q: %x, %v", broken, f.Value, err)
		}
	}
	for name := range recorded1 {
		root := tree(t, recorded1, map[string]string{name: "user x\nanon x\n8:0 Read x\nnr_periods x\nrss x\noom_kill x\na hca_handle=x b\n"})
		if f, err := at1(root, "").Stats(); err == nil || !strings.Contains(err.Error(), filepath.Join(root, name)+": ") {
			t.Errorf("%s: %x, %v", name, f.Value, err)
		}
	}
}

func TestFiguresOfNoCgroupAreNotFound(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	for _, c := range []Cgroup{&v2{dir: dir}, at1(dir, "")} {
		if f, err := c.Stats(); !errdefs.IsNotFound(err) {
			t.Errorf("%v, %v", f, err)
		}
		if pids, err := c.Pids(); !errdefs.IsNotFound(err) {
			t.Errorf("%v, %v", pids, err)
		}
	}
	if c, err := At("/no/such/cgroup"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "/no/such/cgroup") {
		t.Errorf("%v, %v", c, err)
	}
}

// Where pressure is not measured, the files are there but cannot be read, which is
// what happens to the members of a threaded cgroup as well.
func TestPressureThatIsNotMeasured(t *testing.T) {
	t.Parallel()
	dir := "/sys/fs/cgroup/unified"
	if cgroupfs.V2() {
		dir = "/sys/fs/cgroup"
	}
	dir += fmt.Sprintf("/cgroup-test-%d", os.Getpid())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip(err)
	}
	defer os.Remove(dir)
	below := dir + "/threaded"
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(below)
	if err := cgroupfs.Write(below, "cgroup.type", "threaded"); err != nil {
		t.Fatal(err)
	}
	r := &reader{dir: below}
	if message, ok := r.pressure("cgroup.procs"); ok || len(message) > 0 || r.err != nil {
		t.Errorf("%x, %v, %v", message, ok, r.err)
	}
}

func TestPageSize(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"hugepages-64kB": "64KB", "hugepages-2048kB": "2MB", "hugepages-1048576kB": "1GB", "hugepages-16777216kB": "16GB",
		"hugepages-2048": "", "2048kB": "", "hugepages-xkB": "",
	} {
		if got := pageSize(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

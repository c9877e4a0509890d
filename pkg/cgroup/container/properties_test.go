package container

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// TestProperties has what the library of runc 1.5.2 sets for the same resources.
func TestProperties(t *testing.T) {
	t.Parallel()
	const old, max = LeastSystemd, "18446744073709551615"
	for _, tc := range []struct {
		resources string
		version   int
		want      string // a property's name, "=" and its value in the notation of D-Bus
	}{
		{`{}`, old, ``},
		{`{"memory":{},"cpu":{"shares":0},"blockIO":{"weight":300}}`, old, ``},
		{`{"memory":{"limit":67108864,"reservation":33554432}}`, old, `MemoryMax=@t 67108864 MemoryLow=@t 33554432`},
		{`{"memory":{"limit":67108864,"swap":134217728}}`, old, `MemoryMax=@t 67108864 MemorySwapMax=@t 67108864`},
		{`{"memory":{"limit":-1}}`, old, `MemoryMax=@t ` + max + ` MemorySwapMax=@t ` + max},
		{`{"memory":{"limit":67108864,"swap":-1}}`, old, `MemoryMax=@t 67108864 MemorySwapMax=@t ` + max},
		{`{"memory":{"reservation":-1}}`, old, `MemoryLow=@t ` + max},
		{`{"cpu":{"shares":2}}`, old, `CPUWeight=@t 1`},
		{`{"cpu":{"shares":1024}}`, old, `CPUWeight=@t 100`},
		{`{"cpu":{"shares":262144}}`, old, `CPUWeight=@t 10000`},
		{`{"cpu":{"idle":1}}`, 251, ``},
		{`{"cpu":{"idle":1}}`, 252, `CPUWeight=@t 0`},
		{`{"cpu":{"idle":0}}`, 251, ``},
		{`{"cpu":{"idle":1,"shares":1024}}`, 252, `CPUWeight=@t 0`},
		{`{"cpu":{"idle":1,"shares":1024}}`, 251, `CPUWeight=@t 100`},
		{`{"cpu":{"quota":50000,"period":100000}}`, old, `CPUQuotaPeriodUSec=@t 100000 CPUQuotaPerSecUSec=@t 500000`},
		{`{"cpu":{"quota":50000}}`, old, `CPUQuotaPerSecUSec=@t 500000`},
		{`{"cpu":{"quota":50001,"period":100000}}`, old, `CPUQuotaPeriodUSec=@t 100000 CPUQuotaPerSecUSec=@t 510000`},
		{`{"cpu":{"quota":1000,"period":1000000}}`, old, `CPUQuotaPeriodUSec=@t 1000000 CPUQuotaPerSecUSec=@t 10000`},
		{`{"cpu":{"period":50000}}`, old, `CPUQuotaPeriodUSec=@t 50000 CPUQuotaPerSecUSec=@t ` + max},
		{`{"cpu":{"quota":-1}}`, old, `CPUQuotaPerSecUSec=@t ` + max},
		{`{"cpu":{"quota":-1,"period":20000}}`, old, `CPUQuotaPeriodUSec=@t 20000 CPUQuotaPerSecUSec=@t ` + max},
		{`{"pids":{"limit":100}}`, old, `TasksMax=@t 100`},
		{`{"pids":{"limit":0}}`, old, `TasksMax=@t 1`},
		{`{"pids":{"limit":-1}}`, old, `TasksMax=@t ` + max},
		{`{"cpu":{"cpus":"0,2-4,9","mems":"0"}}`, old, `AllowedCPUs=@ay [0x1d, 0x2] AllowedMemoryNodes=@ay [0x1]`},
		{`{"cpu":{"cpus":" 15 ,, "}}`, old, `AllowedCPUs=@ay [0x0, 0x80]`},
		{`{"unified":{"cpu.max":"max","cpu.weight":"7 "}}`, old, `CPUQuotaPeriodUSec=@t 100000 CPUQuotaPerSecUSec=@t ` + max + ` CPUWeight=@t 7`},
		{`{"unified":{"cpu.max":"25000 50000"}}`, old, `CPUQuotaPeriodUSec=@t 50000 CPUQuotaPerSecUSec=@t 500000`},
		{`{"unified":{"cpu.idle":"1","cpu.weight":"7"}}`, 252, `CPUWeight=@t 0`},
		{`{"unified":{"cpu.idle":"1","cpu.weight":"7"}}`, 251, `CPUWeight=@t 7`},
		{`{"unified":{"cpuset.cpus":"1","cpuset.mems":"0"}}`, old, `AllowedCPUs=@ay [0x2] AllowedMemoryNodes=@ay [0x1]`},
		{`{"unified":{"memory.high":"1","memory.low":"2","memory.max":"3","memory.min":"4","memory.swap.max":"max"}}`, old,
			`MemoryHigh=@t 1 MemoryLow=@t 2 MemoryMax=@t 3 MemoryMin=@t 4 MemorySwapMax=@t ` + max},
		{`{"unified":{"pids.max":"0"}}`, old, `TasksMax=@t 1`},
		{`{"unified":{"pids.max":"max"}}`, old, `TasksMax=@t ` + max},
		{`{"unified":{"io.max":"8:0 rbps=1","memory.oom.group":"1"}}`, 253, ``},
		// Other than runc, after which systemd would allow swap again, and what is idle
		// would be it for ever.
		{`{"cpu":{"idle":0}}`, 252, `CPUWeight=@t ` + max},
		{`{"memory":{"limit":67108864,"swap":67108864}}`, old, `MemoryMax=@t 67108864 MemorySwapMax=@t 0`},
	} {
		l := limitsOf(read(t, tc.resources))
		properties, err := l.properties(tc.version)
		if err != nil {
			t.Errorf("%s: %v", tc.resources, err)
		}
		var got []string
		for _, p := range properties {
			got = append(got, fmt.Sprintf("%s=@%s %s", p.Name, p.Value.Signature(), strings.TrimPrefix(p.Value.String(), "@"+p.Value.Signature().String()+" ")))
		}
		if text := strings.Join(got, " "); text != tc.want {
			t.Errorf("%s with systemd %d:\n %s\nwant\n %s", tc.resources, tc.version, text, tc.want)
		}
	}
}

func TestPropertiesThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, resources := range []string{
		`{"memory":{"swap":67108864}}`, `{"memory":{"limit":67108864,"swap":33554432}}`,
		`{"cpu":{"cpus":"x"}}`, `{"cpu":{"cpus":","}}`, `{"cpu":{"cpus":"3-1"}}`, `{"cpu":{"cpus":"0-4294967295"}}`, `{"cpu":{"mems":"-1"}}`,
		`{"unified":{"cpu.max":""}}`, `{"unified":{"cpu.max":"1 2 3"}}`, `{"unified":{"cpu.max":"x"}}`, `{"unified":{"cpu.max":"1 x"}}`,
		`{"unified":{"cpu.weight":"x"}}`, `{"unified":{"memory.high":"-1"}}`, `{"unified":{"pids.max":"x"}}`, `{"unified":{"cpuset.cpus":""}}`,
	} {
		l := limitsOf(read(t, resources))
		if p, err := l.properties(newest); err == nil {
			t.Errorf("%s is %v", resources, p)
		}
	}
}

// The files get the quota that systemd has, as runc does.
func TestQuotasAreRoundedUp(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		quota, want int64
		period      uint64
	}{
		{0, 0, 0}, {-1, -1, 100000}, {50000, 50000, 100000}, {50001, 51000, 100000}, {50001, 51000, 0}, {1, 1000, 0},
		{1000, 10000, 1000000}, {10001, 10200, 20000}, {33333, 34000, 100000}, {5000, 5000, 10000},
		{math.MaxInt64, math.MaxInt64, 100000}, {math.MaxInt64, math.MaxInt64, 1},
	} {
		l := limits{quota: tc.quota, period: tc.period}
		if got := l.inScope().quota; got != tc.want || l.quota != tc.quota {
			t.Errorf("%d in %d is %d, want %d", tc.quota, tc.period, got, tc.want)
		}
	}
}

func TestOOMPolicyIsForNewScopes(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"0": `"continue"`, "1": `"kill"`, "2": "", "": ""} {
		l := limits{unified: map[string]string{"memory.oom.group": value}}
		got := ""
		for _, p := range l.oomPolicy(253) {
			got = p.Value.String()
		}
		if got != want || len(l.oomPolicy(252)) > 0 {
			t.Errorf("of %q: %s, want %s", value, got, want)
		}
	}
}

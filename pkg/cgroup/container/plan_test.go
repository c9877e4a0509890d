package container

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// read takes resources as they are in config.json.
func read(t testing.TB, text string) *specs.LinuxResources {
	t.Helper()
	r := &specs.LinuxResources{}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

// show writes a plan as "file=value", with a mark for what is not simply a write.
func show(p plan) []string {
	shown := []string{}
	for _, w := range p {
		s := w.file + "=" + w.value
		if w.optional {
			s += " ?"
		}
		if w.again {
			s += " again"
		}
		if w.instead != nil {
			s += " or " + w.instead.file + "=" + w.instead.value
		}
		shown = append(shown, s)
	}
	return shown
}

func TestPlans(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		resources string
		v1, v2    []string // an error if it is one element that begins with "!"
	}{
		{`{}`, nil, nil},
		{`{"memory":{"limit":4096}}`, []string{"memory.limit_in_bytes=4096"}, []string{"memory.max=4096"}},
		{`{"memory":{"limit":-1}}`,
			[]string{"memory.memsw.limit_in_bytes=-1 ?", "memory.limit_in_bytes=-1"}, []string{"memory.swap.max=max ?", "memory.max=max"}},
		{`{"memory":{"limit":4096,"swap":-1}}`,
			[]string{"memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=4096"}, []string{"memory.swap.max=max ?", "memory.max=4096"}},
		{`{"memory":{"limit":4096,"swap":4096}}`,
			[]string{"memory.limit_in_bytes=4096", "memory.memsw.limit_in_bytes=4096"}, []string{"memory.swap.max=0 ?", "memory.max=4096"}},
		{`{"memory":{"limit":4096,"swap":8192}}`,
			[]string{"memory.limit_in_bytes=4096", "memory.memsw.limit_in_bytes=8192"}, []string{"memory.swap.max=4096", "memory.max=4096"}},
		{`{"memory":{"limit":-1,"swap":8192}}`,
			[]string{"memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=8192"}, []string{"memory.swap.max=8192", "memory.max=max"}},
		{`{"memory":{"swap":8192}}`, []string{"memory.memsw.limit_in_bytes=8192"}, []string{"!linux.resources.memory.swap: it includes the memory"}},
		{`{"memory":{"limit":8192,"swap":4096}}`,
			[]string{"memory.limit_in_bytes=8192", "memory.memsw.limit_in_bytes=4096"}, []string{"!linux.resources.memory.swap: 4096 includes the memory"}},
		{`{"memory":{"limit":-2,"swap":4096}}`, []string{"memory.limit_in_bytes=-2", "memory.memsw.limit_in_bytes=4096"}, []string{"!linux.resources.memory.limit: -2"}},
		{`{"memory":{"reservation":4096}}`, []string{"memory.soft_limit_in_bytes=4096"}, []string{"memory.low=4096"}},
		{`{"memory":{"reservation":-1}}`, []string{"memory.soft_limit_in_bytes=-1"}, []string{"memory.low=max"}},
		{`{"memory":{"disableOOMKiller":true,"swappiness":0}}`, []string{"memory.oom_control=1", "memory.swappiness=0"}, nil},
		{`{"memory":{"swappiness":18446744073709551615}}`, nil, nil},
		{`{"memory":{"swappiness":101}}`, []string{"!linux.resources.memory.swappiness: 101"}, nil},
		{`{"cpu":{"shares":1024}}`, []string{"cpu.shares=1024"}, []string{"cpu.weight=100"}},
		{`{"cpu":{"shares":1}}`, []string{"!linux.resources.cpu.shares: 1 is"}, []string{"cpu.weight=1"}},
		{`{"cpu":{"shares":262145}}`, []string{"!linux.resources.cpu.shares: 262145 is"}, []string{"cpu.weight=10000"}},
		{`{"cpu":{"quota":5000}}`, []string{"cpu.cfs_quota_us=5000"}, []string{"cpu.max=5000 100000"}},
		{`{"cpu":{"period":50000}}`, []string{"cpu.cfs_period_us=50000"}, []string{"cpu.max=max 50000"}},
		{`{"cpu":{"quota":-1,"period":50000}}`, []string{"cpu.cfs_period_us=50000 again", "cpu.cfs_quota_us=-1"}, []string{"cpu.max=max 50000"}},
		{`{"cpu":{"quota":5000,"period":10000,"burst":100}}`,
			[]string{"cpu.cfs_period_us=10000 again", "cpu.cfs_burst_us=100 ? again", "cpu.cfs_quota_us=5000"},
			[]string{"cpu.max.burst=100 again", "cpu.max=5000 10000"}},
		{`{"cpu":{"burst":0}}`, []string{"cpu.cfs_burst_us=0 ?"}, []string{"cpu.max.burst=0"}},
		{`{"cpu":{"idle":1}}`, []string{"cpu.idle=1"}, []string{"cpu.idle=1"}},
		{`{"cpu":{"idle":0,"shares":2}}`, []string{"cpu.shares=2", "cpu.idle=0"}, []string{"cpu.idle=0", "cpu.weight=1"}},
		{`{"cpu":{"cpus":"0-1","mems":"0"}}`, []string{"cpuset.cpus=0-1", "cpuset.mems=0"}, []string{"cpuset.cpus=0-1", "cpuset.mems=0"}},
		{`{"pids":{"limit":7}}`, []string{"pids.max=7"}, []string{"pids.max=7"}},
		{`{"pids":{"limit":0}}`, []string{"pids.max=1"}, []string{"pids.max=1"}},
		{`{"pids":{"limit":-1}}`, []string{"pids.max=max"}, []string{"pids.max=max"}},
		{`{"pids":{}}`, nil, nil},
		{`{"blockIO":{"weight":10}}`,
			[]string{"blkio.weight=10 or blkio.bfq.weight=10"}, []string{"io.bfq.weight=10 or io.weight=1"}},
		{`{"blockIO":{"weight":1000}}`,
			[]string{"blkio.weight=1000 or blkio.bfq.weight=1000"}, []string{"io.bfq.weight=1000 or io.weight=10000"}},
		{`{"hugepageLimits":[{"pageSize":"2MB","limit":0}]}`,
			[]string{"hugetlb.2MB.limit_in_bytes=0", "hugetlb.2MB.rsvd.limit_in_bytes=0 ?"}, []string{"hugetlb.2MB.max=0", "hugetlb.2MB.rsvd.max=0 ?"}},
		{`{"hugepageLimits":[{"pageSize":"2MB/../x","limit":0}]}`,
			[]string{"!linux.resources.hugepageLimits: \"2MB/../x\""}, []string{"!linux.resources.hugepageLimits: \"2MB/../x\""}},
		{`{"unified":{"memory.oom.group":"1","memory.high":"max"}}`,
			[]string{"!linux.resources.unified"}, []string{"memory.high=max", "memory.oom.group=1"}},
		{`{"unified":{"io.max":"8:0 rbps=1\n8:16 rbps=2"}}`,
			[]string{"!linux.resources.unified"}, []string{"io.max=8:0 rbps=1\n", "io.max=8:16 rbps=2"}},
		{`{"unified":{"cpuset.cpus":""}}`, []string{"!linux.resources.unified"}, []string{"cpuset.cpus="}},
		{`{"unified":{"../memory.max":"1"}}`, []string{"!linux.resources.unified"}, []string{"!linux.resources.unified: \"../memory.max\""}},
		{`{"unified":{"..":"1"}}`, []string{"!linux.resources.unified"}, []string{"!linux.resources.unified: \"..\""}},
		{`{"unified":{"memory":"1"}}`, []string{"!linux.resources.unified"}, []string{"!linux.resources.unified: \"memory\""}},
		{`{"unified":{"":"1"}}`, []string{"!linux.resources.unified"}, []string{"!linux.resources.unified: \"\""}},
		// The order of controllers.
		{`{"memory":{"limit":4096},"cpu":{"shares":2,"cpus":"0"},"pids":{"limit":1},"blockIO":{"weight":10},"hugepageLimits":[{"pageSize":"1GB","limit":1}]}`,
			[]string{"cpuset.cpus=0", "memory.limit_in_bytes=4096", "cpu.shares=2", "pids.max=1", "blkio.weight=10 or blkio.bfq.weight=10",
				"hugetlb.1GB.limit_in_bytes=1", "hugetlb.1GB.rsvd.limit_in_bytes=1 ?"},
			[]string{"pids.max=1", "memory.max=4096", "io.bfq.weight=10 or io.weight=1", "cpu.weight=1", "cpuset.cpus=0",
				"hugetlb.1GB.max=1", "hugetlb.1GB.rsvd.max=1 ?"}},
	} {
		l := limitsOf(read(t, test.resources))
		p, err := l.v1(unlimited)
		checkPlan(t, "v1: "+test.resources, p, err, test.v1)
		p, err = l.v2()
		checkPlan(t, "v2: "+test.resources, p, err, test.v2)
	}
}

func checkPlan(t *testing.T, what string, p plan, err error, want []string) {
	t.Helper()
	if len(want) == 1 && strings.HasPrefix(want[0], "!") {
		if err == nil || !strings.HasPrefix(err.Error(), want[0][1:]) {
			t.Errorf("%s: %v, want the error %s", what, err, want[0][1:])
		}
		return
	}
	if got := show(p); err != nil || !slices.Equal(got, want) {
		t.Errorf("%s:\n  got  %q (%v)\n  want %q", what, got, err, want)
	}
}

// The total of memory and swap may never be less than the memory alone.
func TestOrderOfMemoryWritesDependsOnWhatIsThere(t *testing.T) {
	t.Parallel()
	l := limitsOf(read(t, `{"memory":{"limit":4096,"swap":8192}}`))
	for current, first := range map[uint64]string{
		unlimited: "memory.limit_in_bytes", 8192: "memory.limit_in_bytes",
		8191: "memory.memsw.limit_in_bytes", 0: "memory.memsw.limit_in_bytes",
	} {
		if p, err := l.v1(current); err != nil || len(p) != 2 || p[0].file != first {
			t.Errorf("from %d: %v, %v", current, show(p), err)
		}
	}
}

// The weights are what runc 1.5.2 computes.
func TestWeights(t *testing.T) {
	t.Parallel()
	for shares, want := range map[uint64]uint64{
		1: 1, 2: 1, 3: 2, 10: 4, 51: 11, 100: 17, 102: 17, 256: 35, 500: 58, 512: 59, 1000: 99, 1024: 100,
		2048: 174, 4096: 303, 10000: 627, 65536: 3023, 262143: 10000, 262144: 10000, math.MaxUint64: 10000,
	} {
		if got := cpuWeight(shares); got != want {
			t.Errorf("%d shares: weight %d, want %d", shares, got, want)
		}
	}
	for weight, want := range map[uint16]uint64{10: 1, 11: 11, 100: 910, 500: 4950, 1000: 10000} {
		if got := ioWeight(weight); got != want {
			t.Errorf("blkio weight %d: %d, want %d", weight, got, want)
		}
	}
}

func TestWhatOthersSendByDefaultIsSupported(t *testing.T) {
	t.Parallel()
	for who, text := range map[string]string{
		"nobody": `{}`,
		"ctr":    `{"devices":[{"allow":false,"access":"rwm"}]}`,
		"Docker": `{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":5,"access":"rwm"}],
			"memory":{},"cpu":{"shares":0},"pids":{"limit":0},"blockIO":{"weight":0}}`,
		"Docker with limits": `{"memory":{"limit":67108864,"reservation":33554432,"swap":134217728,"swappiness":60,"disableOOMKiller":false},
			"cpu":{"shares":512,"quota":50000,"period":100000,"realtimeRuntime":0,"realtimePeriod":0,"cpus":"0","mems":"0"},
			"pids":{"limit":100},"blockIO":{"weight":0,"weightDevice":[],"throttleReadBpsDevice":[]}}`,
		"Kubernetes": `{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":268435456,"swap":268435456},
			"cpu":{"shares":102,"quota":10000,"period":100000},"hugepageLimits":[{"pageSize":"2MB","limit":0}],
			"unified":{"memory.oom.group":"1","memory.swap.max":"0","memory.high":"214748364"}}`,
	} {
		if field := Unsupported(read(t, text)); field != "" {
			t.Errorf("%s: %s", who, field)
		}
	}
	if field := Unsupported(nil); field != "" {
		t.Error(field)
	}
}

// Every field of the OCI specification, alone, is either set or named. One that a
// new version adds must not go unnoticed.
func TestNoFieldIsIgnored(t *testing.T) {
	t.Parallel()
	set := 0
	check := func(name string, r *specs.LinuxResources) {
		l := limitsOf(r)
		field := Unsupported(r)
		v1, err1 := l.v1(unlimited)
		v2, err2 := l.v2()
		planned := len(v1)+len(v2) > 0 || err1 != nil || err2 != nil
		switch name {
		case "devices", "memory.checkBeforeUpdate": // the caller's; nothing by itself
			if planned || field != "" {
				t.Errorf("%s: %v, %v, %q", name, show(v1), show(v2), field)
			}
			return
		}
		if planned == (field != "") {
			t.Errorf("%s: planned is %v, named is %q", name, planned, field)
		}
		if field != "" && !strings.HasPrefix(field, "linux.resources."+name) {
			t.Errorf("%s is named %s", name, field)
		}
		set++
	}
	fieldsOf(t, reflect.TypeFor[specs.LinuxResources](), "", func(name string, path []int) {
		r := &specs.LinuxResources{}
		fill(t, reflect.ValueOf(r).Elem(), path)
		check(name, r)
	})
	if set < 30 {
		t.Errorf("only %d fields were looked at", set)
	}
}

// fieldsOf calls do for every field below a struct that is no struct itself.
func fieldsOf(t *testing.T, of reflect.Type, prefix string, do func(name string, path []int), path ...int) {
	for i := range of.NumField() {
		f := of.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		here := append(slices.Clone(path), i)
		if f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct {
			fieldsOf(t, f.Type.Elem(), prefix+tag+".", do, here...)
			continue
		}
		do(prefix+tag, here)
	}
}

// fill sets one field to something that is not zero.
func fill(t *testing.T, v reflect.Value, path []int) {
	for _, i := range path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
		switch {
		case v.CanInt():
			v.SetInt(1)
		case v.CanUint():
			v.SetUint(1)
		case v.Kind() == reflect.Bool:
			v.SetBool(true)
		default:
			t.Fatalf("a %s", v.Type())
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.String:
		v.SetString("0")
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		v.SetMapIndex(reflect.ValueOf("mlx5_1.x"), value)
	default:
		t.Fatalf("a %s", v.Type())
	}
}

func TestUnsupportedNamesTheField(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"memory":{"kernel":1}}`:                    "linux.resources.memory.kernel",
		`{"network":{"classID":0}}`:                  "",
		`{"network":{"classID":7}}`:                  "linux.resources.network.classID",
		`{"rdma":{"mlx5_1":{}}}`:                     "linux.resources.rdma",
		`{"unified":{"cgroup.freeze":"1"}}`:          "linux.resources.unified.cgroup.freeze",
		`{"unified":{"rdma.max":"mlx5_1 a=1"}}`:      "",
		`{"blockIO":{"leafWeight":1}}`:               "linux.resources.blockIO.leafWeight",
		`{"cpu":{"realtimePeriod":1,"shares":1024}}`: "linux.resources.cpu.realtimePeriod",
	} {
		if got := Unsupported(read(t, text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestUpdateLeavesWhatItDoesNotName(t *testing.T) {
	t.Parallel()
	const before = `{"memory":{"limit":4096,"swap":8192,"swappiness":5},"cpu":{"shares":512,"quota":5000,"period":10000,"cpus":"0","burst":1},
		"pids":{"limit":7},"blockIO":{"weight":10},"hugepageLimits":[{"pageSize":"2MB","limit":0}]}`
	for update, want := range map[string][]string{
		`{}`: { // runc does not repeat what it takes from the update alone
			"memory.swap.max=4096", "memory.max=4096", "io.bfq.weight=10 or io.weight=1", "cpu.weight=59"},
		`{"cpu":{"quota":7000}}`: {
			"memory.swap.max=4096", "memory.max=4096", "io.bfq.weight=10 or io.weight=1", "cpu.weight=59", "cpu.max=7000 10000"},
		`{"cpu":{"period":20000}}`: {
			"memory.swap.max=4096", "memory.max=4096", "io.bfq.weight=10 or io.weight=1", "cpu.weight=59", "cpu.max=5000 20000"},
		`{"cpu":{"idle":1}}`: {
			"memory.swap.max=4096", "memory.max=4096", "io.bfq.weight=10 or io.weight=1", "cpu.idle=1"},
		`{"memory":{"limit":-1}}`: {
			"memory.swap.max=max ?", "memory.max=max", "io.bfq.weight=10 or io.weight=1", "cpu.weight=59"},
		`{"memory":{"limit":2048},"pids":{"limit":9}}`: {
			"pids.max=9", "memory.swap.max=6144", "memory.max=2048", "io.bfq.weight=10 or io.weight=1", "cpu.weight=59"},
		`{"blockIO":{"weight":0},"unified":{"memory.high":"9"}}`: {
			"memory.swap.max=4096", "memory.max=4096", "cpu.weight=59", "memory.high=9"},
	} {
		l := limitsOf(read(t, before)).with(read(t, update))
		p, err := l.v2()
		p = slices.DeleteFunc(p, func(w write) bool { return w.controller == "hugetlb" })
		checkPlan(t, update, p, err, want)
		if l.swappiness == nil || len(l.hugepages) != 1 {
			t.Errorf("%s: %+v", update, l)
		}
	}
	l := limitsOf(read(t, before)).with(read(t, `{"memory":{"checkBeforeUpdate":true}}`))
	if !l.check || l.with(read(t, `{"memory":{"limit":1}}`)).check {
		t.Error("checkBeforeUpdate is for one update")
	}
	if got := l.with(nil); fmt.Sprint(got) != fmt.Sprint(l) {
		t.Errorf("%v", got)
	}
}

func FuzzPlan(f *testing.F) {
	for _, text := range []string{
		`{"memory":{"limit":4096,"swap":8192,"reservation":1,"swappiness":5,"disableOOMKiller":true}}`,
		`{"cpu":{"shares":512,"quota":5000,"period":10000,"cpus":"0","mems":"0","burst":1,"idle":1}}`,
		`{"pids":{"limit":7},"blockIO":{"weight":10},"hugepageLimits":[{"pageSize":"2MB","limit":0}]}`,
		`{"unified":{"memory.high":"1\n2","cgroup.kill":"1","../x.y":"1","a.\u0000":""}}`,
		`{"network":{"classID":1},"rdma":{"a":{}},"blockIO":{"leafWeight":1}}`,
	} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, first, update string) {
		var r, u specs.LinuxResources
		if json.Unmarshal([]byte(first), &r) != nil || json.Unmarshal([]byte(update), &u) != nil {
			return
		}
		l := limitsOf(&r)
		checkSafe(t, &l, Unsupported(&r) == "")
		l = l.with(&u)
		checkSafe(t, &l, Unsupported(&r) == "" && Unsupported(&u) == "")
	})
}

// checkSafe looks whether plans write to nothing but files for limits in the cgroup.
func checkSafe(t *testing.T, l *limits, supported bool) {
	t.Helper()
	known := []string{"cpu", "cpuset", "memory", "pids", "blkio", "io", "hugetlb"}
	v1, err1 := l.v1(unlimited)
	v2, err2 := l.v2()
	if err1 != nil {
		v1 = nil
	}
	if err2 != nil {
		v2 = nil
	}
	for _, w := range slices.Concat(v1, v2) {
		for w := &w; w != nil; w = w.instead {
			if w.file == "." || w.file == ".." || strings.ContainsAny(w.file, "/\x00") {
				t.Errorf("a file %q", w.file)
			}
			if !strings.HasPrefix(w.file, w.controller+".") || !strings.HasPrefix(w.field, resources) {
				t.Errorf("%+v", w)
			}
			if len(l.unified) == 0 && !slices.Contains(known, w.controller) {
				t.Errorf("a controller %q", w.controller)
			}
			if supported && strings.HasPrefix(w.file, "cgroup.") {
				t.Errorf("%s is not for limits", w.file)
			}
		}
	}
	for i, w := range v1 {
		if w.again && !slices.ContainsFunc(v1[i:], func(w write) bool { return w.file == "cpu.cfs_quota_us" }) {
			t.Errorf("nothing comes after %s", w.file)
		}
	}
}

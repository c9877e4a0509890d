package oci

import (
	"debug/elf"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
)

// spec is a container that runs a command, changed by the options.
func spec(args []string, change ...func(*specs.Spec)) *specs.Spec {
	s := &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: args, Cwd: "/", User: specs.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}},
		Linux:   &specs.Linux{},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func env(env ...string) func(*specs.Spec) { return func(s *specs.Spec) { s.Process.Env = env } }
func cwd(dir string) func(*specs.Spec)    { return func(s *specs.Spec) { s.Process.Cwd = dir } }
func annotation(name, value string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[name] = value
	}
}

func as(uid uint32, groups ...uint32) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Process.User = specs.User{UID: uid, GID: uid, AdditionalGids: groups} }
}

func hook(s *specs.Spec) {
	s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/hook"}}}
}

func mounts(m ...specs.Mount) func(*specs.Spec) { return func(s *specs.Spec) { s.Mounts = m } }

func plan(t *testing.T, rootfs string, s *specs.Spec) (*Plan, error) {
	t.Helper()
	p, err := PlanContainer(s, bundleTree(t, rootfs, s.Mounts...))
	if err == nil {
		t.Cleanup(func() { p.Close() })
	}
	return p, err
}

func image(t *testing.T) string {
	t.Helper()
	root := directory(t,
		module("app.wasm"),
		module("a#b.wasm"),
		module("both#run"), module("both"),
		module("srv/local.wasm"), file("srv/local-tool", script, 0o755),
		file("usr/bin/tool", nativeELF(), 0o755),
		file("usr/bin/script", script, 0o755),
		file("usr/bin/plain", "plain text, no program at all", 0o755),
		file("usr/bin/readme", "plain text, not executable", 0o644),
		module("usr/local/bin/wasm-tool"),
		file("usr/bin/wasm-tool", nativeELF(), 0o644),
		dir("usr/bin/subdir", 0o755),
		link("bin", "usr/bin"),
		file("sbin/docker-init", nativeELF(), 0o755),
		file("sbin/tini", nativeELF(), 0o755),
		file("component.wasm", wasmComponent+"more", 0o644),
		file("future.wasm", "\x00asm\x02\x00\x00\x00", 0o644),
		file("empty.wasm", "", 0o644),
		file("text.wasm", "this is not a module at all", 0o644),
		file("module.wat", "(module)", 0o644),
		file("short.wasm", "\x00asm\x01", 0o644),
		file("zeros.wasm", strings.Repeat("\x00", 100), 0o644),
		file("foreign", elfHeader(elf.EM_SPARCV9), 0o755),
		file("private.wasm", wasmModule, 0o600),
		dir("closed", 0o700), module("closed/app.wasm"),
		file("closed/tool", nativeELF(), 0o755),
		link("dangling", "/nowhere.wasm"),
		link("escape", "../../../../../../../../etc/passwd"),
		fifo("fifo"),
	)
	big := filepath.Join(root, "huge.wasm")
	check(t, os.WriteFile(big, []byte(wasmModule), 0o644))
	check(t, os.Truncate(big, 2<<30))
	return root
}

func TestWasmOrNativeByContent(t *testing.T) {
	t.Parallel()
	root := image(t)
	path := env("PATH=/usr/local/bin:/usr/bin")
	for name, c := range map[string]struct {
		spec   *specs.Spec
		kind   Kind
		module string
		export string
		args   []string
	}{
		"module":                         {spec([]string{"/app.wasm", "-v"}), Wasm, "/app.wasm", "_start", []string{"/app.wasm", "-v"}},
		"relative to cwd":                {spec([]string{"./local.wasm"}, cwd("/srv")), Wasm, "/srv/local.wasm", "_start", []string{"./local.wasm"}},
		"parent of cwd":                  {spec([]string{"../app.wasm"}, cwd("/srv")), Wasm, "/app.wasm", "_start", []string{"../app.wasm"}},
		"bare name in PATH":              {spec([]string{"wasm-tool"}, path), Wasm, "/usr/local/bin/wasm-tool", "_start", []string{"wasm-tool"}},
		"bare name behind no executable": {spec([]string{"wasm-tool"}, env("PATH=/usr/bin:/usr/local/bin")), Wasm, "/usr/local/bin/wasm-tool", "_start", []string{"wasm-tool"}},
		"bare name in cwd":               {spec([]string{"local.wasm"}, path, cwd("/srv")), Wasm, "/srv/local.wasm", "_start", []string{"local.wasm"}},
		"bare name without PATH":         {spec([]string{"app.wasm"}), Wasm, "/app.wasm", "_start", []string{"app.wasm"}},
		"last PATH counts":               {spec([]string{"wasm-tool"}, env("PATH=/nowhere", "PATH=/usr/local/bin")), Wasm, "/usr/local/bin/wasm-tool", "_start", []string{"wasm-tool"}},
		"relative PATH":                  {spec([]string{"local.wasm"}, env("PATH=srv")), Wasm, "/srv/local.wasm", "_start", []string{"local.wasm"}},
		"export":                         {spec([]string{"/app.wasm#serve", "x"}), Wasm, "/app.wasm", "serve", []string{"/app.wasm", "x"}},
		"export of a bare name":          {spec([]string{"app.wasm#serve"}), Wasm, "/app.wasm", "serve", []string{"app.wasm"}},
		"export with #":                  {spec([]string{"/app.wasm#ns:a/b@1.0#run"}), Wasm, "/app.wasm", "ns:a/b@1.0#run", []string{"/app.wasm"}},
		"file with #":                    {spec([]string{"/a#b.wasm"}), Wasm, "/a#b.wasm", "_start", []string{"/a#b.wasm"}},
		"file with # and export":         {spec([]string{"/a#b.wasm#run"}), Wasm, "/a#b.wasm", "run", []string{"/a#b.wasm"}},
		"literal name before export":     {spec([]string{"/both#run"}), Wasm, "/both#run", "_start", []string{"/both#run"}},
		"ELF":                            {spec([]string{"/usr/bin/tool"}), Native, "", "", nil},
		"script":                         {spec([]string{"/usr/bin/script"}), Native, "", "", nil},
		"native in PATH":                 {spec([]string{"tool"}, path), Native, "", "", nil},
		"native that only root may find": {spec([]string{"/closed/tool"}, as(123456)), Native, "", "", nil},
		"Docker's init":                  {spec([]string{"/sbin/docker-init", "--", "/app.wasm#f", "x"}), Wasm, "/app.wasm", "f", []string{"/app.wasm", "x"}},
		"tini":                           {spec([]string{"/sbin/tini", "--", "app.wasm"}), Wasm, "/app.wasm", "_start", []string{"app.wasm"}},
		"init of a native command":       {spec([]string{"/sbin/docker-init", "--", "tool", "x"}, path), Native, "", "", nil},
		"init of nothing":                {spec([]string{"/sbin/docker-init", "--", "/gone.wasm"}), Native, "", "", nil},
		"init with another option":       {spec([]string{"/sbin/docker-init", "-g", "/app.wasm"}), Native, "", "", nil},
		"another program with --":        {spec([]string{"/usr/bin/tool", "--", "/app.wasm"}), Native, "", "", nil},
		"missing, but there are hooks":   {spec([]string{"/gone.wasm"}, hook), Native, "", "", nil},
		"missing, below a tmpfs":         {spec([]string{"/tmp/app.wasm"}, mounts(tmpfs("/tmp"))), Native, "", "", nil},
		"missing, PATH below a tmpfs":    {spec([]string{"gone"}, env("PATH=/tmp"), mounts(tmpfs("/tmp"))), Native, "", "", nil},
		"Docker's init below a tmpfs":    {spec([]string{"/dev/init", "--", "/app.wasm"}, mounts(tmpfs("/dev"), bind(filepath.Join(root, "sbin/tini"), "/dev/init"))), Wasm, "/app.wasm", "_start", []string{"/app.wasm"}},
		"demanded":                       {spec([]string{"/app.wasm"}, annotation(annotationHandler, "wasm")), Wasm, "/app.wasm", "_start", []string{"/app.wasm"}},
		"smart and native":               {spec([]string{"/usr/bin/tool"}, annotation(annotationVariant, "compat-smart")), Native, "", "", nil},
		"smart and Wasm":                 {spec([]string{"/both"}, annotation(annotationHandler, "wasm-smart")), Wasm, "/both", "_start", []string{"/both"}},
		"pause container of a Wasm pod":  {spec([]string{"/usr/bin/tool"}, annotation(annotationVariant, "compat"), annotation(annotationContainerType, "sandbox")), Native, "", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := plan(t, root, c.spec)
			check(t, err)
			if p.Kind != c.kind {
				t.Fatalf("planned %v", p.Kind)
			}
			if p.Kind == Native {
				if p.Module != nil || p.Job != nil {
					t.Error("a native plan has a module or a job")
				}
				return
			}
			if p.Job.Module != c.module || p.Job.Export != c.export || !reflect.DeepEqual(p.Job.Args, c.args) {
				t.Errorf("module %q, export %q, args %q", p.Job.Module, p.Job.Export, p.Job.Args)
			}
			buf := make([]byte, 8)
			if _, err := p.Module.ReadAt(buf, 0); err != nil || string(buf) != wasmModule {
				t.Errorf("module reads %q %v", buf, err)
			}
		})
	}
}

func TestBadProgramsAreNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	root := image(t)
	path := env("PATH=/usr/local/bin:/usr/bin")
	const command = "check ENTRYPOINT and CMD of the image, or the command"
	for name, c := range map[string]struct {
		spec *specs.Spec
		want []string
	}{
		"missing":                 {spec([]string{"/gone.wasm"}), []string{`"/gone.wasm": no such file or directory: `, command}},
		"missing for demand":      {spec([]string{"/gone.wasm"}, hook, annotation(annotationVariant, "compat")), []string{"no such file or directory"}},
		"missing in PATH":         {spec([]string{"gone"}, path), []string{`"gone": executable file not found in $PATH: `, command}},
		"missing export's file":   {spec([]string{"/gone.wasm#run"}), []string{`"/gone.wasm#run": no such file or directory`}},
		"no export":               {spec([]string{"/app.wasm#"}), []string{`names no export after "#"`}},
		"export of a program":     {spec([]string{"/usr/bin/tool#x"}), []string{"no such file or directory", "has no exports"}},
		"dangling link":           {spec([]string{"/dangling"}), []string{"no such file or directory"}},
		"link out of the image":   {spec([]string{"/escape"}), []string{`"/escape": no such file or directory`}},
		"dots out of the image":   {spec([]string{"/../../../etc/passwd"}), []string{"no such file or directory"}},
		"below a file":            {spec([]string{"/app.wasm/x"}), []string{"not a directory"}},
		"directory":               {spec([]string{"/usr"}), []string{`"/usr": is a directory: name the module in it`}},
		"root":                    {spec([]string{"/"}), []string{"is a directory"}},
		"FIFO":                    {spec([]string{"/fifo"}), []string{"not a regular file"}},
		"empty":                   {spec([]string{"/empty.wasm"}), []string{`"/empty.wasm": is an empty file: copy the module`}},
		"text":                    {spec([]string{"/text.wasm"}), []string{`"/text.wasm": is a text file without "#!" line`}},
		"text in PATH":            {spec([]string{"plain"}, path), []string{`"/usr/bin/plain": is a text file`}},
		"not executable in PATH":  {spec([]string{"readme"}, path), []string{`"readme": permission denied`}},
		"directory in PATH":       {spec([]string{"subdir"}, path), []string{"executable file not found in $PATH"}},
		"native only in cwd":      {spec([]string{"local-tool"}, cwd("/srv")), []string{"executable file not found in $PATH"}},
		"Wasm text":               {spec([]string{"/module.wat"}), []string{"is WebAssembly text", "wat2wasm"}},
		"truncated":               {spec([]string{"/short.wasm"}), []string{"is a truncated file of 5 bytes"}},
		"zeros":                   {spec([]string{"/zeros.wasm"}), []string{"neither a Wasm module nor a program (it begins with 00 00"}},
		"component":               {spec([]string{"/component.wasm"}), []string{"is a Wasm component", "wasip1", "wasm-tools component unbundle"}},
		"component behind init":   {spec([]string{"/sbin/tini", "--", "/component.wasm"}), []string{"is a Wasm component"}},
		"future version":          {spec([]string{"/future.wasm"}), []string{"unknown version 2"}},
		"huge":                    {spec([]string{"/huge.wasm"}), []string{"2147483648 bytes is larger than the limit of 1073741824"}},
		"another architecture":    {spec([]string{"/foreign"}), []string{"is a program for EM_SPARCV9, this machine is " + runtime.GOARCH}},
		"unreadable":              {spec([]string{"/private.wasm"}, as(123456)), []string{`"/private.wasm"`, "mode 0600", "user 123456:123456", "permission denied", "chmod a+r"}},
		"unreadable text":         {spec([]string{"/closed/nothing"}, as(123456)), []string{`"/closed" (mode 0700`, "permission denied"}},
		"closed directory":        {spec([]string{"/closed/app.wasm"}, as(123456)), []string{`"/closed" (mode 0700`, "permission denied"}},
		"demand and ELF":          {spec([]string{"/usr/bin/tool"}, annotation(annotationHandler, "wasm")), []string{"native program", "run.oci.handler=wasm demands Wasm"}},
		"demand by name and text": {spec([]string{"/text.wasm"}, annotation(annotationVariant, "compat-smart")), []string{"text file", "module.wasm.image/variant=compat-smart demands Wasm"}},
		"another handler":         {spec([]string{"/app.wasm"}, annotation(annotationHandler, "krun")), []string{`annotation run.oci.handler="krun"`, "set it to wasm"}},
		"no args":                 {spec(nil), []string{"process.args is empty"}},
		"empty command":           {spec([]string{""}), []string{"process.args is empty"}},
		"relative cwd":            {spec([]string{"/app.wasm"}, cwd("srv")), []string{`process.cwd "srv" is not an absolute path`}},
		"no process":              {&specs.Spec{}, []string{"process is missing"}},
		"NUL in args":             {spec([]string{"/app.wasm", "a\x00b"}), []string{"process.args[1] contains a NUL byte"}},
		"NUL in env":              {spec([]string{"/app.wasm"}, env("A=b", "A=\x00")), []string{"process.env[1] contains a NUL byte"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := plan(t, root, c.spec)
			if err == nil {
				t.Fatalf("planned %v", p.Kind)
			}
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("not an invalid argument: %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestFailedPlansCloseTheirFiles(t *testing.T) {
	root := image(t)
	tree := bundleTree(t, root)
	before := openFiles(t)
	for _, args := range [][]string{
		{"/component.wasm"}, {"/huge.wasm"}, {"/text.wasm"}, {"/usr/bin/tool#x"}, {"/app.wasm#"}, {"readme"}, {"wasm-tool"},
		{"/app.wasm", "\x00"}, {"/sbin/tini", "--", "/component.wasm"}, {"/sbin/tini", "--", "tool"}, {"/usr/bin/tool"}, {"local-tool"},
	} {
		for _, who := range []uint32{0, 123456} {
			p, err := PlanContainer(spec(args, env("PATH=/usr/bin:/usr/local/bin"), as(who), cwd("/srv")), tree)
			if err == nil {
				check(t, p.Close())
			}
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d open files, %d before", after, before)
	}
}

func TestJobIsWhatTheSpecSays(t *testing.T) {
	t.Parallel()
	limit := int64(64 << 20)
	s := spec([]string{"/app.wasm"}, env("A=b", "A=c", "odd"), cwd("/srv"), func(s *specs.Spec) {
		s.Process.User = specs.User{}
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
		s.Process.Capabilities = &specs.LinuxCapabilities{Effective: []string{"CAP_NET_RAW", "CAP_NET_BIND_SERVICE", "CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_FOWNER"}}
	})
	p, err := plan(t, image(t), s)
	check(t, err)
	want := &job.Job{
		Version:          job.Version,
		Module:           "/app.wasm",
		Export:           "_start",
		Args:             []string{"/app.wasm"},
		Env:              []string{"A=b", "A=c", "odd", "PWD=/srv"},
		Preopens:         []job.Preopen{{Guest: "/", Host: "/"}},
		MemoryLimit:      limit,
		KeepCapabilities: []string{"CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER"},
	}
	if !reflect.DeepEqual(p.Job, want) {
		t.Errorf("got  %+v\nwant %+v", p.Job, want)
	}
}

func TestJobHasTheContainersShareOfTheCPUs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		quota  int64
		period uint64
		want   int
	}{
		{-1, 100_000, 0}, {0, 100_000, 0}, {50_000, 0, 0},
		{1_000, 100_000, 1}, {100_000, 100_000, 1}, {100_001, 100_000, 2}, {250_000, 100_000, 3},
		{math.MaxInt64, 1, math.MaxInt32}, {math.MaxInt64, math.MaxUint64, math.MaxInt32}, {1, math.MaxUint64, 1},
	} {
		p, err := plan(t, image(t), spec([]string{"/app.wasm"}, func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &c.quota, Period: &c.period}}
		}))
		check(t, err)
		if p.Job.CPUs != c.want {
			t.Errorf("%d of %d: %d CPUs, want %d", c.quota, c.period, p.Job.CPUs, c.want)
		}
	}
}

func TestJobKeepsPWDAndForgetsWhatUsersDoNotHave(t *testing.T) {
	t.Parallel()
	unlimited := int64(-1)
	s := spec([]string{"/app.wasm"}, env("PWD=/elsewhere"), as(123456), func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &unlimited}}
		s.Process.Capabilities = &specs.LinuxCapabilities{Effective: []string{"CAP_CHOWN"}, Ambient: []string{"CAP_FOWNER"}}
	})
	p, err := plan(t, image(t), s)
	check(t, err)
	if !reflect.DeepEqual(p.Job.Env, []string{"PWD=/elsewhere"}) {
		t.Errorf("env %q", p.Job.Env)
	}
	if p.Job.MemoryLimit != 0 {
		t.Errorf("memory limit %d", p.Job.MemoryLimit)
	}
	if !reflect.DeepEqual(p.Job.KeepCapabilities, []string{"CAP_FOWNER"}) {
		t.Errorf("capabilities %q: after exec only the ambient ones are effective", p.Job.KeepCapabilities)
	}
}

func TestAnnotationsTakeFromTheGuest(t *testing.T) {
	t.Parallel()
	const p = annotationPrefix
	s := spec([]string{"/app.wasm"}, env("A=b"), annotation(p+"preopens", "/data:ro"), annotation(p+"env", "none"), annotation(p+"clock", "coarse"),
		annotation(p+"network", "listen"), annotation(p+"stop", "graceful"))
	root := image(t)
	first, err := plan(t, root, s)
	check(t, err)
	further, err := PlanExec(s.Process, s, bundleTree(t, root))
	check(t, err)
	defer further.Close()
	if !first.Job.Graceful || further.Job.Graceful {
		t.Errorf("graceful: %t, a further process %t", first.Job.Graceful, further.Job.Graceful)
	}
	for _, j := range []*job.Job{first.Job, further.Job} {
		if len(j.Env) != 0 || !j.CoarseClock || j.Network != network.Listen || !reflect.DeepEqual(j.Preopens, []job.Preopen{{Guest: "/data", Host: "/data", ReadOnly: true}}) {
			t.Errorf("%+v", j)
		}
	}
}

func TestExecFollowsTheSameRules(t *testing.T) {
	t.Parallel()
	limit := int64(1 << 20)
	container := spec([]string{"/app.wasm"}, annotation(annotationHandler, "wasm"), hook, func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	})
	tree := bundleTree(t, image(t))
	exec := func(args ...string) *specs.Process { return spec(args, cwd("/srv")).Process }

	p, err := PlanExec(exec("local.wasm#f", "x"), container, tree)
	check(t, err)
	defer p.Close()
	if p.Kind != Wasm || p.Job.Module != "/srv/local.wasm" || p.Job.Export != "f" || p.Job.MemoryLimit != limit {
		t.Errorf("%v %+v", p.Kind, p.Job)
	}
	native, err := PlanExec(exec("/usr/bin/tool"), container, tree)
	if err != nil || native.Kind != Native {
		t.Errorf("the container's annotations are not about an exec: %v %v", native, err)
	}
	if _, err := PlanExec(exec("/gone"), container, tree); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("no hook brings a program to an exec: %v", err)
	}
	if _, err := PlanExec(nil, container, tree); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

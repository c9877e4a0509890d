package direct

import (
	"fmt"
	"os"
	"testing"

	"github.com/containerd/console"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// process is a change of what is below process.
func process(change func(*specs.Process)) func(*testing.T, *place, *specs.Spec) {
	return func(_ *testing.T, _ *place, s *specs.Spec) { change(s.Process) }
}

// capabilities with one of those that a guest may keep, or none.
func capabilities(names ...string) *specs.LinuxCapabilities {
	return &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names, Inheritable: names, Ambient: names}
}

// raised is what Go's runtime does to its own soft limit when it starts. In the
// direct launcher the limits are set later.
const raised = "with runc the runner has raised its soft limit"

// none is what a process without capabilities has.
const none = "0000000000000000"

// unlessAppArmor is for comparison.missing.
func unlessAppArmor() string {
	if _, err := os.Stat("/sys/kernel/security/apparmor"); err != nil {
		return "AppArmor"
	}
	return ""
}

// processes are about what is below process in the configuration.
func processes() []comparison {
	tries := []string{"write", "/public/new", "write", "/private/new", "read", "/files/closed", "directory", "/sticky/new", "directory", "/root-only"}
	capFields := []string{
		"process.capabilities.bounding[]", "process.capabilities.effective[]", "process.capabilities.inheritable[]",
		"process.capabilities.permitted[]", "process.capabilities.ambient[]",
	}
	return []comparison{
		{
			name:   "default",
			fields: []string{"ociVersion", "root.path", "process.args[]", "process.env[]", "process.cwd"},
			does: []string{"arguments", "environment", "terminal", "walk", "/", "read", "/etc/link", "write", "/public/new", "directory", "/new", "write", "/new/file",
				"read", "/files/closed", "read", "/gone", "write", "/gone/x", "stdin", "stderr"},
			stdin: "from the host\n",
			want: view{
				"stderr": "to stderr\n", "file /public/new": "100644 0:0 5 bytes", "file /new": "40755 0:0", "file /dev/null": "20666 0:0 1:3", "file /dev/shm": "41777 0:0",
				"timer slack": "50000", "shim's timer slack": "1000000",
				"status CapInh": none, "status CapAmb": none, "namespace pid": "its own", "namespace net": "its own", "namespace user": "the host's",
			},
		},
		{
			name:   "user",
			fields: []string{"process.user.uid", "process.user.gid", "process.user.additionalGids[]"},
			spec: process(func(p *specs.Process) {
				p.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1002, 1003}}
			}),
			does: tries,
			want: view{
				"status Uid": "1000 1000 1000 1000", "status Gid": "1001 1001 1001 1001", "status Groups": "1002 1003",
				"status CapEff": none, "status CapPrm": none, "file /public/new": "100644 1000:1001 5 bytes", "file /private/new": absent, "file /root-only": absent,
			},
		},
		{
			name:   "umask",
			fields: []string{"process.user.umask"},
			spec:   process(func(p *specs.Process) { p.User.Umask = pointer(uint32(0o077)) }),
			does:   append([]string{"write", "/here", "directory", "/there"}, tries...),
			ask:    askExec,
			want:   view{"exec timer slack": "50000", "status Umask": "0077", "file /here": "100600 0:0 5 bytes", "file /there": "40700 0:0", "exec file /public/exec": "100600 0:0 5 bytes"},
		},
		{
			name: "no umask",
			spec: process(func(p *specs.Process) { p.User.Umask = pointer(uint32(0)) }),
			does: []string{"write", "/here", "directory", "/there"},
			want: view{"file /here": "100666 0:0 5 bytes", "file /there": "40777 0:0"},
		},
		{
			// Other profiles are compared in test/integration/apparmor, in a machine that has them.
			name:    "AppArmor",
			fields:  []string{"process.apparmorProfile"},
			missing: unlessAppArmor(),
			spec:    process(func(p *specs.Process) { p.ApparmorProfile = "unconfined" }),
		},
		{
			name:   "root without capabilities",
			fields: capFields,
			spec:   process(func(p *specs.Process) { p.Capabilities = nil }),
			does:   append([]string{"read", "/public/theirs"}, tries...),
			want:   view{"status CapEff": none, "status CapPrm": none},
		},
		{
			name: "capabilities that a guest has no use for",
			spec: process(func(p *specs.Process) { p.Capabilities = capabilities("CAP_SYS_ADMIN", "CAP_NET_RAW") }),
			does: tries,
			want: view{"status CapEff": none, "status CapPrm": none},
		},
		{
			name: "root with a capability",
			spec: process(func(p *specs.Process) { p.Capabilities = capabilities("CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN") }),
			does: tries,
			want: view{"status CapEff": "0000000000000002", "status CapPrm": "0000000000000002"},
		},
		{
			name: "user with a capability",
			spec: process(func(p *specs.Process) {
				p.User, p.Capabilities = specs.User{UID: 1000, GID: 1000}, capabilities("CAP_DAC_OVERRIDE", "CAP_NET_RAW")
			}),
			does: tries,
			want: view{"status CapEff": "0000000000000002", "status CapAmb": none, "file /private/new": "100644 1000:1000 5 bytes"},
		},
		{
			name: "user with a capability in other sets",
			spec: process(func(p *specs.Process) {
				c := capabilities("CAP_DAC_OVERRIDE")
				c.Ambient = nil
				p.User, p.Capabilities = specs.User{UID: 1000, GID: 1000}, c
			}),
			does: tries,
			want: view{"status CapEff": none, "file /private/new": absent},
		},
		{
			name:   "new privileges allowed",
			fields: []string{"process.noNewPrivileges"},
			spec:   process(func(p *specs.Process) { p.NoNewPrivileges = false }),
			want:   view{"status NoNewPrivs": "1"},
		},
		{
			name: "no new privileges",
			spec: process(func(p *specs.Process) { p.NoNewPrivileges = true }),
			want: view{"status NoNewPrivs": "1"},
		},
		{
			name: "working directory that is not there",
			spec: process(func(p *specs.Process) { p.Cwd = "/made/for/it" }),
			does: []string{"environment", "walk", "/"},
			want: view{"file /made/for/it": "40755 0:0"},
		},
		{
			name: "working directory of somebody else",
			spec: process(func(p *specs.Process) { p.Cwd, p.User = "/private", specs.User{UID: 1000, GID: 1000} }),
			does: []string{"environment", "walk", "/private"},
			ask:  askExec,
		},
		{
			name: "working directory behind a link",
			spec: process(func(p *specs.Process) { p.Cwd = "/etc/../etc/place/new" }),
			does: []string{"environment", "walk", "/"},
			want: view{"file /private/new": "40755 0:0"},
		},
		{
			name:   "limits",
			fields: []string{"process.rlimits[].type", "process.rlimits[].hard", "process.rlimits[].soft"},
			spec: process(func(p *specs.Process) {
				p.Rlimits = []specs.POSIXRlimit{
					{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_FSIZE", Soft: 81920, Hard: 163840}, {Type: "RLIMIT_NPROC", Soft: 300, Hard: 400},
					{Type: "RLIMIT_CPU", Soft: 1000, Hard: 2000}, {Type: "RLIMIT_MEMLOCK", Soft: 4096, Hard: 8192}, {Type: "RLIMIT_SIGPENDING", Soft: 1000, Hard: 2000},
					{Type: "RLIMIT_CORE", Soft: 7, Hard: 8},
				}
			}),
			does: []string{"many", "/etc/passwd"},
			ask:  askExec,
			want: view{
				"limit Max open files": "100 200 files", "limit Max file size": "81920 163840 bytes", "limit Max processes": "300 400 processes",
				"limit Max core file size": "0 0 bytes", "exec limit Max open files": "100 200 files",
			},
			differ: map[string]string{"limit Max open files": raised, "exec limit Max open files": raised},
		},
		{
			// As a native program, it is ended by SIGXFSZ.
			name: "file that is too large",
			spec: func(_ *testing.T, p *place, s *specs.Spec) {
				s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_FSIZE", Soft: 8192, Hard: 16384}}
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Type: "bind", Source: p.dir, Options: []string{"bind"}})
			},
			does: []string{"grow", "/data/large"},
			ends: true,
			want: view{"exit status": "153", "host /large": "100644 0:0 8192 bytes"},
		},
		{
			name: "exit status",
			does: []string{"stderr", "exit", "42"},
			ends: true,
			want: view{"exit status": "42", "stderr": "to stderr\n"},
		},
		{
			name:   "oomScoreAdj",
			fields: []string{"process.oomScoreAdj"},
			spec:   process(func(p *specs.Process) { p.OOMScoreAdj = pointer(501) }),
			ask:    askExec,
			want:   view{"oom_score_adj": "501", "exec oom_score_adj": "501"},
		},
		{
			name:   "terminal",
			fields: []string{"process.terminal", "process.consoleSize.height", "process.consoleSize.width"},
			tty:    true,
			spec:   process(func(p *specs.Process) { p.ConsoleSize = &specs.Box{Height: 33, Width: 101} }),
			does:   []string{"terminal", "stderr"},
			ask: func(t *testing.T, _ *place, k *testenv.Task, v view) {
				f, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/0", k.Pid()), os.O_RDWR|noTTY, 0)
				must(t, err)
				defer f.Close()
				terminal, err := console.ConsoleFromFile(f)
				must(t, err)
				size, err := terminal.Size()
				must(t, err)
				v["terminal"] = fmt.Sprint(size.Height, size.Width)
				v["file /dev/tty"] = describe(t, fmt.Sprintf("/proc/%d/root/dev/tty", k.Pid()))
			},
			want: view{"terminal": "33 101", "file /dev/tty": "20666 0:0 5:0", "stdout": "terminal: 1 1 1\r\nto stderr\r\nwaiting"},
		},
		{
			name: "terminal of a user",
			tty:  true,
			spec: process(func(p *specs.Process) { p.User = specs.User{UID: 1000, GID: 1000} }),
			does: []string{"terminal"},
			ask: func(t *testing.T, _ *place, k *testenv.Task, v view) {
				info, err := os.Stat(fmt.Sprintf("/proc/%d/fd/0", k.Pid()))
				must(t, err)
				v["terminal"] = owner(info)
			},
			want: view{"terminal": "1000"},
		},
	}
}

func pointer[T any](v T) *T { return &v }

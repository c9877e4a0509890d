package options

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func pack(t *testing.T, typeURL string, m proto.Message) *anypb.Any {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return &anypb.Any{TypeUrl: typeURL, Value: data}
}

func parse(any *anypb.Any) (Options, []string, error) {
	return Parse(any.GetTypeUrl(), any.GetValue())
}

func body(t *testing.T, s string) *anypb.Any {
	return pack(t, typeRuntime, &runtimeoptions.Options{ConfigBody: []byte(s)})
}

const all = `
BinaryName = "/usr/local/bin/runc"
SystemdCgroup = true
ShimCgroup = "/shims"
IoUid = 1000
IoGid = 4294967295
NoPivotRoot = true
NoNewKeyring = true
Root = "/run/runc"
allow_native_exec = true
cache_dir = "/var/cache/wazero"
cache_size = "3GiB"
no_cache = true
private_code = true
network = "listen"
coarse_clock = true
compile_memory = 1073741824
compile_timeout = "1m30s"
compile_parallel = 2
debug = true
CriuPath = "criu"
`

var allOptions = Options{
	RuncBinary: "/usr/local/bin/runc", SystemdCgroup: true, ShimCgroup: "/shims", IoUID: 1000, IoGID: 4294967295,
	NoPivotRoot: true, NoNewKeyring: true, Root: "/run/runc", AllowNativeExec: true,
	CacheDir: "/var/cache/wazero", CacheSize: 3 << 30, NoCache: true, PrivateCode: true, Network: "listen", CoarseClock: true,
	CompileMemory: 1 << 30, CompileTimeout: 90 * time.Second, CompileParallel: 2,
	Debug: true,
}

func TestEveryWrappingIsUnderstood(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "wazero.toml")
	if err := os.WriteFile(file, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	fromRunc := Options{
		RuncBinary: "/usr/local/bin/runc", SystemdCgroup: true, ShimCgroup: "/shims", IoUID: 1000, IoGID: 4294967295,
		NoPivotRoot: true, NoNewKeyring: true, Root: "/run/runc",
	}
	runc := &runcoptions.Options{
		BinaryName: "/usr/local/bin/runc", SystemdCgroup: true, ShimCgroup: "/shims", IoUid: 1000, IoGid: 4294967295,
		NoPivotRoot: true, NoNewKeyring: true, Root: "/run/runc", CriuImagePath: "x",
	}
	for name, tc := range map[string]struct {
		any  *anypb.Any
		want Options
	}{
		"nothing":                  {nil, Options{}},
		"empty":                    {&anypb.Any{}, Options{}},
		"empty options":            {pack(t, typeRuntime, &runtimeoptions.Options{}), Options{}},
		"runc's type":              {pack(t, typeRunc, runc), fromRunc},
		"runc's type with prefix":  {pack(t, "type.googleapis.com/"+typeRunc, runc), fromRunc},
		"body":                     {body(t, all), allOptions},
		"body with prefix":         {pack(t, "type.googleapis.com/"+typeRuntime, &runtimeoptions.Options{ConfigBody: []byte(all)}), allOptions},
		"file":                     {pack(t, typeRuntime, &runtimeoptions.Options{ConfigPath: file}), allOptions},
		"file goes before body":    {pack(t, typeRuntime, &runtimeoptions.Options{ConfigPath: file, ConfigBody: []byte("x")}), allOptions},
		"name of containerd 1.6":   {pack(t, typeRuntimeCRI, &runtimeoptions.Options{ConfigPath: file}), allOptions},
		"number as containerd CRI": {body(t, "IoUid = 5.0"), Options{IoUID: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, unknown, err := parse(tc.any)
			if err != nil || len(unknown) > 0 {
				t.Fatalf("unknown %q, error %v", unknown, err)
			}
			if got != tc.want {
				t.Fatalf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestErrorsNameTheOptionAndWhereItStands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := func(path string) *anypb.Any {
		return pack(t, typeRuntime, &runtimeoptions.Options{ConfigPath: path})
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	big := write("big.toml", "")
	if err := os.Truncate(big, 2<<30); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		any  *anypb.Any
		want []string
	}{
		"type":              {pack(t, "containerd.linux.runc.CreateOptions", &runtimeoptions.Options{}), []string{`"containerd.linux.runc.CreateOptions"`, typeRuntime}},
		"garbage":           {&anypb.Any{TypeUrl: typeRunc, Value: []byte{0xff}}, []string{"decode", typeRunc}},
		"value, no type":    {&anypb.Any{Value: []byte{1}}, []string{`type ""`}},
		"bool in quotes":    {body(t, `SystemdCgroup = "true"`), []string{"SystemdCgroup", "the runtime options", "true or false", `"true"`}},
		"bool in file":      {file(write("bool.toml", "debug = 1")), []string{"debug", "bool.toml", "true or false"}},
		"text":              {body(t, `BinaryName = 5`), []string{"BinaryName", "string"}},
		"list":              {body(t, `BinaryName = ["runc"]`), []string{"BinaryName", "string"}},
		"negative id":       {body(t, `IoUid = -1`), []string{"IoUid", "0 to 4294967295", "-1"}},
		"large id":          {body(t, `IoGid = 4294967296`), []string{"IoGid", "0 to 4294967295"}},
		"size":              {body(t, `cache_size = "much"`), []string{"cache_size", "2GiB", "much"}},
		"negative size":     {body(t, `compile_memory = -1`), []string{"compile_memory", "2GiB", "-1"}},
		"duration":          {body(t, `compile_timeout = 90`), []string{"compile_timeout", "10m", "90"}},
		"negative duration": {body(t, `compile_timeout = "-1s"`), []string{"compile_timeout", "-1s"}},
		"count":             {body(t, `compile_parallel = 1.5`), []string{"compile_parallel", "1.5"}},
		"syntax":            {file(write("syntax.toml", "\ndebug = tru\n")), []string{"syntax.toml", "line 2"}},
		"twice":             {body(t, "debug = true\ndebug = false\n"), []string{"the runtime options", "line 2"}},
		"unknown in a file": {file(write("unknown.toml", "Sytemd = true\n")), []string{"unknown.toml", "Sytemd", "SystemdCgroup"}},
		"relative path":     {file("wazero.toml"), []string{"ConfigPath", "absolute"}},
		"no file":           {file("/nonexistent/wazero.toml"), []string{"ConfigPath", "/nonexistent/wazero.toml", "no such file"}},
		"directory":         {file(dir), []string{"ConfigPath", "not a regular file"}},
		"fifo":              {file(fifo), []string{"ConfigPath", "not a regular file"}},
		"device":            {file("/dev/zero"), []string{"ConfigPath", "not a regular file"}},
		"large file":        {file(big), []string{"ConfigPath", "larger than"}},
		"large body":        {body(t, strings.Repeat("#", maxTOML+1)), []string{"larger than"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := parse(tc.any)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not contain %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than one line", err)
			}
		})
	}
}

func TestUnknownOptionsAreNamedInOneSentence(t *testing.T) {
	t.Parallel()
	_, unknown, err := parse(body(t, "systemd_cgroup = true\nAllowNativeExec = true\ndebug = true\n[nested]\nx = 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	msg := UnknownError(unknown).Error()
	for _, want := range []string{"AllowNativeExec, nested, systemd_cgroup", "allow_native_exec", "SystemdCgroup"} {
		if !strings.Contains(msg, want) {
			t.Errorf("%q does not contain %q", msg, want)
		}
	}
	if err := UnknownError(nil); err != nil {
		t.Error(err)
	}
}

func TestEncodeIsTheInverseOfParse(t *testing.T) {
	t.Parallel()
	quoted := Options{RuncBinary: `/a "b"\c`, IoUID: 7}
	for _, want := range []Options{{}, allOptions, quoted} {
		got, unknown, err := Parse(want.Encode())
		if err != nil || len(unknown) > 0 || got != want {
			t.Errorf("got %+v, %q, %v; want %+v", got, unknown, err, want)
		}
	}
}

// Parse decodes containerd's messages by itself.
func FuzzMessages(f *testing.F) {
	runc, err := proto.Marshal(&runcoptions.Options{NoPivotRoot: true, ShimCgroup: "/c", IoUid: 1 << 31, IoGid: 3, BinaryName: "r", Root: "/x", SystemdCgroup: true, CriuImagePath: "c"})
	if err != nil {
		f.Fatal(err)
	}
	runtime, err := proto.Marshal(&runtimeoptions.Options{TypeUrl: "t", ConfigBody: []byte("debug = true")})
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range [][]byte{runc, runtime, {0x08, 0x02, 0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, {0x0a, 0x01, 0xff}, {0x32, 0x01, 0xff}, {0x0d, 1, 0, 0, 0}, {0x30, 1}, {0x20, 1, 0x25, 1, 1, 1, 1}} {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		var r runcoptions.Options
		wantErr := proto.Unmarshal(message, &r)
		got, err := decodeRunc(message)
		want := Options{
			RuncBinary: r.GetBinaryName(), SystemdCgroup: r.GetSystemdCgroup(), ShimCgroup: r.GetShimCgroup(), Root: r.GetRoot(),
			IoUID: r.GetIoUid(), IoGID: r.GetIoGid(), NoPivotRoot: r.GetNoPivotRoot(), NoNewKeyring: r.GetNoNewKeyring(),
		}
		if (err == nil) != (wantErr == nil) || err == nil && got != want {
			t.Errorf("runc: got %+v, %v; want %+v, %v", got, err, want, wantErr)
		}
		var o runtimeoptions.Options
		wantErr = proto.Unmarshal(message, &o)
		path, body, err := decodeRuntime(message)
		if (err == nil) != (wantErr == nil) || err == nil && (path != o.GetConfigPath() || string(body) != string(o.GetConfigBody())) {
			t.Errorf("got %q, %q, %v; want %v, %v", path, body, err, &o, wantErr)
		}
	})
}

func TestSystemdCgroupsPathIsRecognised(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"system.slice:docker:0123":            true,
		"kubepods-burstable.slice:cri-x:0123": true,
		":docker:0123":                        true,
		"::0123":                              true,
		"":                                    false,
		"/default/0123":                       false,
		"default/0123":                        false,
		"/a:b:c":                              false,
		"a:b":                                 false,
		"a:b:c:d":                             false,
	} {
		if got := IsSystemdCgroupsPath(path); got != want {
			t.Errorf("%q: got %v", path, got)
		}
	}
}

func TestDocumentationNamesEveryOption(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/options.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys() {
		if !strings.Contains(string(doc), "`"+k.name+"`") {
			t.Errorf("docs/options.md does not explain %s", k.name)
		}
	}
}

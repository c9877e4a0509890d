package quick_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	any, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return any
}

func toml(body string) *runtimeoptions.Options {
	return &runtimeoptions.Options{ConfigBody: []byte(body)}
}

// reference reads stdin with containerd's own types and the whole parser of options.
func reference(s *quick.Start) quick.Params {
	p := quick.Params{GRPCAddress: s.Address, SocketDir: "/run/containerd/s", Debug: s.Debug}
	set := func(any *anypb.Any) {
		if o, _, err := options.Parse(any.GetTypeUrl(), any.GetValue()); err == nil {
			p.Options = quick.Options{ShimCgroup: o.ShimCgroup, Debug: o.Debug}
			p.Debug = p.Debug || o.Debug
		}
	}
	var bp bootapi.BootstrapParams
	if proto.Unmarshal(s.Stdin, &bp) != nil || bp.GetInstanceID() != s.ID || bp.GetNamespace() != s.Namespace {
		var any anypb.Any
		if proto.Unmarshal(s.Stdin, &any) == nil {
			set(&any)
		}
		return p
	}
	p.Modern = true
	p.TTRPCAddress = bp.GetContainerdTtrpcAddress()
	if a := bp.GetContainerdGrpcAddress(); a != "" {
		p.GRPCAddress = a
	}
	if d := bp.GetSocketDir(); d != "" {
		p.SocketDir = d
	}
	p.Debug = p.Debug || bp.GetLogLevel() <= bootapi.LogLevel_LOG_LEVEL_DEBUG
	for _, e := range bp.GetExtensions() {
		if v := e.GetValue(); v.MessageIs((*runcoptions.Options)(nil)) || v.MessageIs((*runtimeoptions.Options)(nil)) {
			set(v)
		}
	}
	return p
}

func whole(typeURL string, value []byte) (quick.Options, error) {
	o, _, err := options.Parse(typeURL, value)
	return quick.Options{ShimCgroup: o.ShimCgroup, Debug: o.Debug}, err
}

func newStart(stdin []byte) *quick.Start {
	return &quick.Start{Command: quick.Command{Namespace: "n", ID: "c", Address: "/c.sock"}, Stdin: stdin}
}

// compareParams returns whether the package was sure by itself.
func compareParams(t *testing.T, stdin []byte) bool {
	t.Helper()
	s := newStart(stdin)
	want := reference(s)
	got, err := s.ReadParams()
	if err != nil && !errors.Is(err, quick.ErrUnsure) {
		t.Errorf("%q: %v", stdin, err)
	}
	if err == nil && got != want {
		t.Errorf("%q: sure of %+v, want %+v", stdin, got, want)
	}
	sure := err == nil
	s.Options = whole
	if got, err = s.ReadParams(); err != nil || got != want {
		t.Errorf("%q: with the parser of options got %+v, %v; want %+v", stdin, got, err, want)
	}
	return sure
}

func TestParametersAreThoseOfContainerd(t *testing.T) {
	t.Parallel()
	dir := "/run/s"
	file := filepath.Join(t.TempDir(), "o.toml")
	if err := os.WriteFile(file, []byte("debug = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	boot := func(f func(*bootapi.BootstrapParams), extensions ...*anypb.Any) []byte {
		bp := &bootapi.BootstrapParams{
			InstanceID: "c", Namespace: "n", ContainerdVersion: "v2.4.2", ContainerdBinary: "/usr/bin/containerd",
			ContainerdGrpcAddress: "/g.sock", ContainerdTtrpcAddress: "/t.sock", SocketDir: &dir,
		}
		for _, e := range extensions {
			bp.Extensions = append(bp.Extensions, &bootapi.Extension{Value: e})
		}
		if f != nil {
			f(bp)
		}
		return marshal(t, bp)
	}
	old := func(any *anypb.Any) []byte { return marshal(t, any) }
	prefixed := func(name string, m proto.Message) *anypb.Any {
		return &anypb.Any{TypeUrl: name, Value: marshal(t, m)}
	}
	for name, tc := range map[string]struct {
		stdin []byte
		sure  bool
	}{
		"nothing":               {nil, true},
		"garbage":               {[]byte("\xff\xff"), true},
		"modern":                {boot(nil), true},
		"modern, runc":          {boot(nil, pack(t, &runcoptions.Options{BinaryName: "r", SystemdCgroup: true})), true},
		"modern, cgroup":        {boot(nil, pack(t, &runcoptions.Options{ShimCgroup: "/x"})), false},
		"modern, cgroup, none":  {boot(nil, pack(t, &runcoptions.Options{ShimCgroup: "/x"}), pack(t, &runcoptions.Options{})), false},
		"modern, TOML":          {boot(nil, pack(t, toml(`SystemdCgroup = true`))), true},
		"modern, debug in TOML": {boot(nil, pack(t, toml(`debug = true`))), false},
		"modern, other":         {boot(nil, pack(t, &types.MountCapabilities{})), true},
		"modern, empty":         {boot(nil, nil, &anypb.Any{}), true},
		"modern, CRI's type":    {boot(nil, prefixed("cri.runtimeoptions.v1.Options", toml(`debug = true`))), true},
		"modern, debug":         {boot(func(p *bootapi.BootstrapParams) { p.LogLevel = bootapi.LogLevel_LOG_LEVEL_DEBUG }), true},
		"modern, trace":         {boot(func(p *bootapi.BootstrapParams) { p.LogLevel = bootapi.LogLevel_LOG_LEVEL_TRACE }), true},
		"modern, warn":          {boot(func(p *bootapi.BootstrapParams) { p.LogLevel = bootapi.LogLevel_LOG_LEVEL_WARN }), true},
		"modern, few":           {marshal(t, &bootapi.BootstrapParams{InstanceID: "c", Namespace: "n"}), true},
		"other container":       {boot(func(p *bootapi.BootstrapParams) { p.InstanceID = "d" }), false},
		"other namespace":       {boot(func(p *bootapi.BootstrapParams) { p.Namespace = "m" }), false},
		"not UTF-8":             {append(boot(nil), 0x22, 1, 0xff), false},
		"another type":          {append(boot(nil), 0x18, 0x01, 0x1a, 0x00, 0x4d, 1, 2, 3, 4), true},
		"truncated":             {boot(nil)[:20], true},
		"runc":                  {old(prefixed("containerd.runc.v1.Options", &runcoptions.Options{Root: "/r"})), true},
		"runc, cgroup":          {old(prefixed("containerd.runc.v1.Options", &runcoptions.Options{ShimCgroup: "/r"})), false},
		"runc, damaged":         {old(&anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: []byte{0x1a, 9}}), false},
		"TOML":                  {old(prefixed("runtimeoptions.v1.Options", toml("BinaryName = \"runc\"\n"))), true},
		"TOML, empty":           {old(prefixed("runtimeoptions.v1.Options", toml(""))), true},
		"TOML, wrong":           {old(prefixed("cri.runtimeoptions.v1.Options", toml("= = ="))), true},
		"TOML, cgroup":          {old(prefixed("cri.runtimeoptions.v1.Options", toml("ShimCgroup = \"/x\"\n"))), false},
		"TOML, cgroup escaped":  {old(prefixed("runtimeoptions.v1.Options", toml("\"Shim\\u0043group\" = \"/x\"\n"))), false},
		"TOML, file":            {old(prefixed("runtimeoptions.v1.Options", &runtimeoptions.Options{ConfigPath: file})), false},
		"TOML, no file":         {old(prefixed("runtimeoptions.v1.Options", &runtimeoptions.Options{ConfigPath: "/nonexistent/o.toml"})), false},
		"TOML, relative file":   {old(prefixed("runtimeoptions.v1.Options", &runtimeoptions.Options{ConfigPath: "o.toml"})), false},
		"other":                 {old(pack(t, &types.MountCapabilities{})), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if sure := compareParams(t, tc.stdin); sure != tc.sure {
				t.Errorf("sure: %v", sure)
			}
		})
	}
}

func FuzzParameters(f *testing.F) {
	f.Add([]byte("\x0a\x01c\x12\x01n\x18\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x01\x42\x04\x0a\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, stdin []byte) {
		if strings.Contains(string(stdin), "/") { // no files
			t.Skip()
		}
		compareParams(t, stdin)
	})
}

func TestAnswersAreThoseOfContainerd(t *testing.T) {
	t.Parallel()
	want := &bootapi.BootstrapResult{Version: 3, Address: "unix:///run/s", Protocol: "ttrpc"}
	if err := want.AddExtension(&types.MountCapabilities{}); err != nil {
		t.Fatal(err)
	}
	var got bootapi.BootstrapResult
	if err := proto.Unmarshal(quick.Answer(true, "unix:///run/s"), &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("got %v, %v; want %v", &got, err, want)
	}
	if got := quick.Answer(false, "unix:///run/s"); string(got) != "unix:///run/s" {
		t.Errorf("got %q", got)
	}
	at := time.Date(2024, 2, 3, 4, 5, 6, 789, time.UTC)
	for _, e := range []quick.End{{}, {At: at}, {Pid: 1 << 22, Status: 255, At: at}, {Status: 1, At: time.Unix(5, 0)}, {At: time.Unix(-5, 7)}} {
		want := &taskapi.DeleteResponse{Pid: e.Pid, ExitStatus: e.Status, ExitedAt: timestamppb.New(e.At)}
		var got taskapi.DeleteResponse
		if err := proto.Unmarshal(e.Encode(), &got); err != nil || !proto.Equal(&got, want) {
			t.Errorf("got %v, %v; want %v", &got, err, want)
		}
	}
}

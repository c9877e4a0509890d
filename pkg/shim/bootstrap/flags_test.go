package bootstrap

import (
	"errors"
	"flag"
	"strings"
	"testing"

	"bytes"
	"encoding/json"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

func TestCommandLinesOfContainerd(t *testing.T) {
	t.Parallel()
	const common = "-namespace n -address /run/c.sock -publish-binary /usr/bin/containerd -id i "
	base := Flags{Namespace: "n", ID: "i", Address: "/run/c.sock"}
	with := func(f func(*Flags)) Flags { g := base; f(&g); return g }
	for line, want := range map[string]Flags{
		common + "start":                  with(func(f *Flags) { f.Action = "start" }),
		common + "-debug start":           with(func(f *Flags) { f.Action, f.Debug = "start", true }),
		common + "start extra":            with(func(f *Flags) { f.Action = "start" }),
		common + "-bundle /b delete":      with(func(f *Flags) { f.Action, f.Bundle = "delete", "/b" }),
		common + "-socket /s":             with(func(f *Flags) { f.Socket = "/s" }),
		common + "-debug-socket /d start": with(func(f *Flags) { f.Action = "start" }),
		"--namespace=n --id=i delete":     {Namespace: "n", ID: "i", Action: "delete"},
		"-info":                           {Info: true},
		"-v":                              {Version: true},
		"-version":                        {Version: true},
	} {
		got, err := Parse(strings.Fields(line))
		if err != nil || *got != want {
			t.Errorf("%s: got %+v, %v", line, got, err)
		}
	}
}

// Package quick must be sure of what containerd writes, and not of anything else.
func TestQuickParseAgrees(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"-namespace n -address /a -publish-binary /b -id i start", "--namespace=n --id=i -debug delete", "-id i -namespace n -bundle /b delete",
		"-namespace n -id i -socket /s -debug-socket= start x", "-namespace= -id i start", "-namespace n -id a=b start",
	} {
		compareParse(t, strings.Fields(line))
		if _, sure := quick.Parse(strings.Fields(line)); !sure && !strings.Contains(line, "-namespace= ") {
			t.Errorf("%s: not sure", line)
		}
	}
	for _, line := range []string{
		"", "start", "-namespace n -id i", "-namespace n -id i stop", "-namespace n start", "-namespace n -id .. start", "-namespace a/b -id i start",
		"-v", "-info", "-help", "-namespace n -id i -v start", "-namespace n -id i -debug=false start", "-namespace n -id i -- start",
		"-nope -namespace n -id i start", "-namespace n -id", "---id i -namespace n start", "-=x start", "-- start", "- start", "cache ls", "precompile x",
		"-socket /s -namespace n -id i",
	} {
		if c, sure := quick.Parse(strings.Fields(line)); sure {
			t.Errorf("%s: sure of %+v", line, c)
		}
	}
}

func FuzzQuickParse(f *testing.F) {
	f.Add("-namespace n -id=i -debug -bundle /b delete x")
	f.Add("--id i --namespace n -publish-binary -- start")
	f.Fuzz(func(t *testing.T, line string) { compareParse(t, strings.Split(line, " ")) })
}

func compareParse(t *testing.T, args []string) {
	t.Helper()
	got, sure := quick.Parse(args)
	if !sure {
		return
	}
	want, err := Parse(args)
	if err != nil || want.Version || want.Info || want.command() != got {
		t.Errorf("%q: sure of %+v, want %+v, %v", args, got, want, err)
	}
}

func TestPeopleGetAnAnswer(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                                  "-help",
		"start":                             "-namespace and -id are missing",
		"-namespace n start":                "-namespace and -id are missing",
		"-namespace n -id i stop":           `unknown action "stop"`,
		"-namespace n -id ../../etc delete": `-id "../../etc"`,
		"-namespace a/b -id i start":        `-namespace "a/b"`,
		"-namespace n -id .. start":         `-id ".."`,
		"-nope":                             "-nope",
		"-id":                               "-id",
	} {
		var out, errOut bytes.Buffer
		flags, code := Main(Process{Args: strings.Fields(line), Dir: "/", Stdout: &out, Stderr: &errOut}, Config{})
		if flags != nil || code == 0 || out.Len() > 0 || !strings.Contains(errOut.String(), want) || strings.Count(errOut.String(), "\n") != 1 {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", line, code, out.String(), errOut.String())
		}
	}
	for _, line := range []string{"-h", "-help", "--help", "-namespace n -help"} {
		if _, err := Parse(strings.Fields(line)); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%q: %v", line, err)
		}
	}
	for line, want := range map[string]string{"-help": "docker run", "-v": "Go version: go"} {
		var out, errOut bytes.Buffer
		if _, code := Main(Process{Args: []string{line}, Stdout: &out, Stderr: &errOut}, Config{}); code != 0 || errOut.Len() > 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", line, code, out.String(), errOut.String())
		}
	}
}

func TestDaemonIsLeftToTheCaller(t *testing.T) {
	t.Parallel()
	f, code := Main(Process{Args: strings.Fields("-namespace n -id i -address a -socket /s")}, Config{})
	if f == nil || code != 0 || f.Socket != "/s" {
		t.Errorf("got %+v, %d", f, code)
	}
}

func runInfo(t *testing.T, stdin []byte) (*types.RuntimeInfo, string, int) {
	t.Helper()
	var out, errOut bytes.Buffer
	_, code := Main(Process{Args: []string{"-info"}, Stdin: bytes.NewReader(stdin), Stdout: &out, Stderr: &errOut}, Config{})
	var r types.RuntimeInfo
	if err := proto.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return &r, errOut.String(), code
}

func TestInfoNeedsNoContainer(t *testing.T) {
	t.Parallel()
	r, stderr, code := runInfo(t, nil)
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d, stderr %q", code, stderr)
	}
	if r.GetName() != "io.containerd.wazero.v1" || r.GetVersion().GetVersion() == "" || r.GetOptions() != nil {
		t.Errorf("got %v", r)
	}
	assertFeatures(t, r)
}

func assertFeatures(t *testing.T, r *types.RuntimeInfo) *features.Features {
	t.Helper()
	var f features.Features
	if r.GetFeatures().GetTypeUrl() != featuresType {
		t.Errorf("features have type %q", r.GetFeatures().GetTypeUrl())
	}
	if err := json.Unmarshal(r.GetFeatures().GetValue(), &f); err != nil || f.OCIVersionMin == "" || f.OCIVersionMax == "" {
		t.Errorf("features are %s, %v", r.GetFeatures().GetValue(), err)
	}
	return &f
}

func TestInfoRepeatsTheOptions(t *testing.T) {
	t.Parallel()
	body := marshal(t, &runtimeoptions.Options{ConfigBody: []byte(`BinaryName = "/nonexistent/runc"` + "\nunknown = 1\n")})
	r, stderr, code := runInfo(t, marshal(t, &anypb.Any{TypeUrl: "runtimeoptions.v1.Options", Value: body}))
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d, stderr %q", code, stderr)
	}
	if !bytes.Contains(r.GetOptions().GetValue(), []byte("/nonexistent/runc")) {
		t.Errorf("options are %v", r.GetOptions())
	}
	// Without a runc there is still an answer.
	if f := assertFeatures(t, r); f.Linux != nil {
		t.Error("features of a runc that is not there")
	}
}

func TestInfoNamesAWrongOption(t *testing.T) {
	t.Parallel()
	body := marshal(t, &runtimeoptions.Options{ConfigBody: []byte(`SystemdCgroup = "yes"`)})
	if _, stderr, code := runInfo(t, marshal(t, &anypb.Any{TypeUrl: "runtimeoptions.v1.Options", Value: body})); code == 0 || !strings.Contains(stderr, "SystemdCgroup") {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
}

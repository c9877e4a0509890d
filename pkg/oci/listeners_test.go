package oci

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/privilege"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen"
)

const listenAnnotation = annotationPrefix + "listen"

func TestListenersAreAskedForByAnnotationOrVariable(t *testing.T) {
	t.Parallel()
	web := []listen.Socket{{Name: "http", Network: "tcp", Address: ":8080"}}
	other := []listen.Socket{{Network: "udp", Address: "0.0.0.0:53"}, {Network: "unix", Address: "/run/s"}}
	names := []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=http", "LISTEN_FDS_START=4", "LISTEN_FDS_FIRST_FD=4"}
	for name, tc := range map[string]struct {
		spec *specs.Spec
		want []listen.Socket
		env  []string
	}{
		"neither":         {spec(nil, env("A=b")), nil, []string{"A=b", "PWD=/"}},
		"annotation":      {spec(nil, annotation(listenAnnotation, "http=tcp://:8080")), web, append([]string{"PWD=/"}, names...)},
		"variable":        {spec(nil, env("A=b", "WAZERO_LISTEN=http=tcp://:8080", "Z=z")), web, append([]string{"A=b", "Z=z", "PWD=/"}, names...)},
		"empty variable":  {spec(nil, env("WAZERO_LISTEN=")), nil, []string{"PWD=/"}},
		"both":            {spec(nil, env("WAZERO_LISTEN=tcp://:1"), annotation(listenAnnotation, "http=tcp://:8080")), web, append([]string{"PWD=/"}, names...)},
		"none after all":  {spec(nil, env("WAZERO_LISTEN=tcp://:1"), annotation(listenAnnotation, "")), nil, []string{"PWD=/"}},
		"wrong, unused":   {spec(nil, env("WAZERO_LISTEN=nonsense"), annotation(listenAnnotation, "")), nil, []string{"PWD=/"}},
		"one of a pod":    {spec(nil, annotation(annotationContainerName, "web"), annotation(listenAnnotation+"/web", "http=tcp://:8080")), web, append([]string{"PWD=/"}, names...)},
		"another's":       {spec(nil, annotation(annotationContainerName, "db"), annotation(listenAnnotation+"/web", "http=tcp://:8080")), nil, []string{"PWD=/"}},
		"no environment":  {spec(nil, env("A=b", "WAZERO_LISTEN=http=tcp://:8080"), annotation(annotationPrefix+"env", "none")), web, names},
		"network: listen": {spec(nil, annotation(listenAnnotation, "http=tcp://:8080"), annotation(annotationPrefix+"network", "listen")), web, append([]string{"PWD=/"}, names...)},
		"several, after directories": {spec(nil, annotation(listenAnnotation, "udp://0.0.0.0:53, unix:///run/s"), annotation(annotationPrefix+"preopens", "/a,/b")), other,
			[]string{"PWD=/", "LISTEN_FDS=2", "LISTEN_FDNAMES=unknown:unknown", "LISTEN_FDS_START=5", "LISTEN_FDS_FIRST_FD=5"}},
	} {
		tc.spec.Process.Args = []string{"/app.wasm"}
		p, err := plan(t, image(t), tc.spec)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(p.Job.Listeners, tc.want) || !slices.Equal(p.Job.Env, tc.env) {
			t.Errorf("%s: %+v, %q; want %+v, %q", name, p.Job.Listeners, p.Job.Env, tc.want, tc.env)
		}
	}
}

func TestListenersThatCannotBeAreErrors(t *testing.T) {
	t.Parallel()
	for text, s := range map[string]*specs.Spec{
		`annotation io.containerd.wazero.v1.listen="tcp://:0": "tcp://:0": want a port`: spec(nil, annotation(listenAnnotation, "tcp://:0")),
		`process.env WAZERO_LISTEN="8080": "8080": want NAME=`:                          spec(nil, env("WAZERO_LISTEN=8080")),
		`annotation io.containerd.wazero.v1.listen asks for listeners, but the network is "none"`: spec(nil,
			annotation(listenAnnotation, "tcp://:1"), annotation(annotationPrefix+"network", "none")),
		`process.env WAZERO_LISTEN asks for listeners`: spec(nil, env("WAZERO_LISTEN=tcp://:1"), annotation(annotationPrefix+"network", "none")),
	} {
		s.Process.Args = []string{"/app.wasm"}
		if p, err := plan(t, image(t), s); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v, %v; want %q", p, err, text)
		}
	}
}

func TestFurtherProcessesDoNotListen(t *testing.T) {
	t.Parallel()
	s := spec([]string{"/app.wasm"}, env("A=b", "WAZERO_LISTEN=tcp://:2"), annotation(listenAnnotation, "tcp://:1"), annotation(annotationPrefix+"network", "none"))
	p, err := PlanExec(s.Process, s, bundleTree(t, image(t)))
	check(t, err)
	defer p.Close()
	if len(p.Job.Listeners) != 0 || !slices.Equal(p.Job.Env, []string{"A=b", "PWD=/"}) {
		t.Errorf("%+v, %q", p.Job.Listeners, p.Job.Env)
	}
}

// The capability for low ports is kept only if it is there, and for something.
func TestPrivilegedPorts(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]string{
		"tcp://:80":          {"CAP_CHOWN", privilege.BindService},
		"tcp://:8080":        {"CAP_CHOWN"},
		"tcp://:81,udp://:1": {"CAP_CHOWN", privilege.BindService},
		"":                   {"CAP_CHOWN"},
	} {
		s := spec([]string{"/app.wasm"}, annotation(listenAnnotation, list))
		s.Process.Capabilities = &specs.LinuxCapabilities{Effective: []string{"CAP_CHOWN", "CAP_NET_RAW", privilege.BindService}}
		p, err := plan(t, image(t), s)
		check(t, err)
		if !slices.Equal(p.Job.KeepCapabilities, want) {
			t.Errorf("%q: %q", list, p.Job.KeepCapabilities)
		}
		s.Process.Capabilities.Effective = nil
		p, err = plan(t, image(t), s)
		check(t, err)
		if len(p.Job.KeepCapabilities) != 0 {
			t.Errorf("%q without any: %q", list, p.Job.KeepCapabilities)
		}
	}
}

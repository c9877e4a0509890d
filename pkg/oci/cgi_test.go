package oci

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

const cgiAnnotation = annotationPrefix + "cgi"

func threads(limit int64) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}
	}
}

func TestServersByCGI(t *testing.T) {
	t.Parallel()
	web := annotation(listenAnnotation, "http=tcp://:8080")
	cgi := func(value string) func(*specs.Spec) { return annotation(cgiAnnotation, value) }
	for name, tc := range map[string]struct {
		spec *specs.Spec
		want *job.CGI
	}{
		"none":          {spec(nil, web), nil},
		"off":           {spec(nil, web, cgi("off")), nil},
		"on":            {spec(nil, web, cgi("on")), &job.CGI{Workers: 16, Patience: 60_000}},
		"variable":      {spec(nil, env("WAZERO_LISTEN=unix:///run/s"), cgi("on")), &job.CGI{Workers: 16, Patience: 60_000}},
		"number":        {spec(nil, web, cgi("3"), annotation(cgiAnnotation+"-timeout", "1m30s")), &job.CGI{Workers: 3, Patience: 90_000}},
		"threads":       {spec(nil, web, cgi("on"), threads(20)), &job.CGI{Workers: 4, Patience: 60_000}},
		"least threads": {spec(nil, web, cgi("on"), threads(14)), &job.CGI{Workers: 1, Patience: 60_000}},
		"no limit":      {spec(nil, web, cgi("on"), threads(-1)), &job.CGI{Workers: 16, Patience: 60_000}},
		"another's":     {spec(nil, web, annotation(annotationContainerName, "db"), annotation(cgiAnnotation+"/web", "on")), nil},
		"but not this":  {spec(nil, web, annotation(annotationContainerName, "db"), cgi("on"), annotation(cgiAnnotation+"/db", "off")), nil},
	} {
		tc.spec.Process.Args = []string{"/app.wasm"}
		p, err := plan(t, image(t), tc.spec)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(p.Job.CGI, tc.want) || len(p.Job.Listeners) != 1 {
			t.Errorf("%s: %+v, %+v; want %+v", name, p.Job.CGI, p.Job.Listeners, tc.want)
		}
		role := job.RoleRunner
		if tc.want != nil {
			role = job.RoleServer
		}
		if env := runnerEnv(p.Job); !slices.Contains(env, job.RoleEnv+"="+role) {
			t.Errorf("%s: the runner's environment is %q", name, env)
		}
		// The sockets are the server's.
		if told := strings.Contains(strings.Join(p.Job.Env, "\n"), "LISTEN"); told != (tc.want == nil) {
			t.Errorf("%s: %q", name, p.Job.Env)
		}
	}
}

func TestServersThatCannotBeAreErrors(t *testing.T) {
	t.Parallel()
	web := annotation(listenAnnotation, "http=tcp://:8080")
	for text, s := range map[string]*specs.Spec{
		`v1.cgi="": want "on", "off", or`:                                   spec(nil, web, annotation(cgiAnnotation, "")),
		`v1.cgi="true": want`:                                               spec(nil, web, annotation(cgiAnnotation, "true")),
		`v1.cgi="0": want`:                                                  spec(nil, web, annotation(cgiAnnotation, "0")),
		`v1.cgi="129": want`:                                                spec(nil, web, annotation(cgiAnnotation, "129")),
		`v1.cgi="+1": want`:                                                 spec(nil, web, annotation(cgiAnnotation, "+1")),
		`v1.cgi="007": want`:                                                spec(nil, web, annotation(cgiAnnotation, "007")),
		`v1.cgi-timeout="10": want a time`:                                  spec(nil, web, annotation(cgiAnnotation+"-timeout", "10")),
		`v1.cgi-timeout="999ms": want a time`:                               spec(nil, web, annotation(cgiAnnotation+"-timeout", "999ms")),
		`v1.cgi-timeout="2h": want a time`:                                  spec(nil, web, annotation(cgiAnnotation+"-timeout", "2h")),
		`there is nothing to listen at`:                                     spec(nil, annotation(cgiAnnotation, "on")),
		`makes a server of HTTP, which "udp://:53"`:                         spec(nil, annotation(cgiAnnotation, "on"), annotation(listenAnnotation, "tcp://:1,udp://:53")),
		`asks for listeners, but the network`:                               spec(nil, web, annotation(cgiAnnotation, "on"), annotation(annotationPrefix+"network", "none")),
		`linux.resources.pids.limit 13: a server by CGI needs 14: raise it`: spec(nil, web, annotation(cgiAnnotation, "on"), threads(13)),
	} {
		s.Process.Args = []string{"/app.wasm"}
		if p, err := plan(t, image(t), s); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v, %v; want %q", p, err, text)
		}
	}
}

func TestFurtherProcessesOfAServerAreNone(t *testing.T) {
	t.Parallel()
	s := spec([]string{"/app.wasm"}, annotation(cgiAnnotation, "on"), annotation(listenAnnotation, "tcp://:1"), threads(1))
	p, err := PlanExec(s.Process, s, bundleTree(t, image(t)))
	check(t, err)
	defer p.Close()
	if p.Job.CGI != nil {
		t.Errorf("%+v", p.Job.CGI)
	}
}

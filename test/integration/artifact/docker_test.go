package artifact

import (
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestDocker: docker pull and run, where the dummy command is needed if the image has
// none of its own. That needs the containerd image store, which is the default.
func TestDocker(t *testing.T) {
	d := testenv.StartDocker(t)
	r := serve(t)
	for _, s := range shapes(t) {
		t.Run(s.name, func(t *testing.T) {
			// Docker takes loopback for a registry without TLS.
			image := strings.Replace(r.tag(s.name, r.picture(t, s.picture)), host, r.Address, 1)
			d.Docker(t, "pull", image)
			flags := []string{"run", "--rm", "--network=none", "--runtime", testenv.Runtime}
			got := d.Do(t, "", append(flags, "--entrypoint", "/", image, "echo", "hello")...)
			if got.Stdout != "hello\n" || got.Status != 0 {
				t.Errorf("with a dummy: %+v", got)
			}
			got = d.Do(t, "", append(flags, "--init", "--entrypoint", "/", image, "echo", "hello")...)
			if got.Stdout != "hello\n" || got.Status != 0 {
				t.Errorf("with an init: %+v", got)
			}
			got = d.Do(t, "", append(flags, image, "echo", "hello")...)
			if s.picture.ordinary() {
				if got.Stdout != "hello\n" || got.Status != 0 {
					t.Errorf("with its own entrypoint: %+v", got)
				}
				return
			}
			// The first word is the module's name, whatever it is.
			if got.Status != 1 || !strings.HasSuffix(got.Stderr, "multi: no command \"hello\"\n") {
				t.Errorf("without an entrypoint: %+v", got)
			}
		})
	}
}

// TestAnnotationsElsewhere: clients other than the CRI let all annotations through.
func TestAnnotationsElsewhere(t *testing.T) {
	const unknown = "io.containerd.wazero.v1.no-such"
	d := testenv.StartDocker(t)
	r := serve(t)
	image := strings.Replace(r.tag("app", r.picture(t, raw("/", layer{cncfLayer, "", multi(t)}))), host, r.Address, 1)
	d.Docker(t, "pull", image)
	got := d.Do(t, "", "run", "--rm", "--network=none", "--runtime", testenv.Runtime, "--annotation", unknown+"=x", image)
	if got.Status == 0 || !strings.Contains(got.Stderr, unknown) {
		t.Errorf("docker: %+v", got)
	}
	got = d.Do(t, "", "run", "--rm", "--network=none", "--runtime", testenv.Runtime, "--annotation", "io.containerd.wazero.v1.memory-limit=64Mi", image, "alloc", "200")
	if got.Status != 137 {
		t.Errorf("docker: %+v", got)
	}
	n := start(t, testenv.Newest)
	image = n.registry.tag("app", n.registry.picture(t, raw("/", layer{cncfLayer, "", multi(t)})))
	n.pull(t, image)
	_, err := n.TryCtr("run", "--rm", "--runtime", testenv.Runtime, "--cgroup", "/"+n.Namespace+"/x", "--annotation", unknown+"=x", image, "x")
	if err == nil || !strings.Contains(err.Error(), unknown) {
		t.Errorf("ctr: %v", err)
	}
}

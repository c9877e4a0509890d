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
			image := strings.Replace(r.tag(s.name, r.picture(t, s.picture)), host, r.address, 1)
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

package escape

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// exhausting are attacks that end their process, or have to be ended. Each has a
// container of its own.
var exhausting = map[string]struct {
	opts []oci.SpecOpts
	// status is how the container ends; -1 is any but 0.
	status int
	// spins tells that it does not end by itself. It says something first.
	spins string
}{
	"open more files than the limit":      {},
	"start more threads than the limit":   {opts: []oci.SpecOpts{oci.WithPidsLimit(50)}, status: -1},
	"fill the disk beyond the limit":      {opts: []oci.SpecOpts{smallTmp()}},
	"use more memory than the limit":      {opts: []oci.SpecOpts{oci.WithMemoryLimit(96 << 20)}, status: 137},
	"use the CPU for ever":                {spins: "spinning", status: 143},
	"flood the shim with reports":         {spins: "flooding", status: 143},
	"call the kernel as x32":              {status: 128 + int(syscall.SIGSYS)},
	"call the kernel as a 32-bit program": {status: 128 + int(syscall.SIGSYS)},
}

func smallTmp() oci.SpecOpts {
	return oci.WithMounts([]specs.Mount{{Type: "tmpfs", Source: "tmpfs", Destination: "/tmp", Options: []string{"size=1m", "mode=1777"}}})
}

func TestEscapedGuestEndsWithItsLimits(t *testing.T) {
	shimDir, program := build(t)
	x, img := newTarget(t), image(t)
	_, names := attacks(t, program)
	for _, launcher := range []string{"runc", "direct"} {
		t.Run(launcher, func(t *testing.T) {
			c := start(t, shimDir, launcher, img)
			for _, name := range names {
				t.Run(name, func(t *testing.T) {
					attack, ok := exhausting[name]
					if !ok {
						t.Fatal("what is to become of it?")
					}
					id := launcher + "-" + strings.ReplaceAll(name, " ", "-")
					k := c.Run(t, testenv.Spec{
						ID: id, Image: img, Opts: attack.opts,
						Args: append([]string{"/app.wasm", argument}, x.inside(c).args(t, name)...),
					})
					if attack.spins != "" {
						k.Stdout.WaitFor(t, attack.spins)
						time.Sleep(time.Second)
						k.RequireStatus(t, client.Running)
						k.Signal(t, syscall.SIGTERM)
					}
					begin := time.Now()
					status := int(k.Finish(t))
					if took := time.Since(begin); attack.spins != "" && took > testenv.Slow(5*time.Second) {
						t.Errorf("it took %s to end it", took)
					}
					t.Logf("status %d; %s%s", status, k.Stdout, lastLines(k.Stderr.String(), 1))
					if status != attack.status && (attack.status != -1 || status == 0) {
						t.Errorf("status %d instead of %d", status, attack.status)
					}
					if v := verdicts(k.Stdout.String())[name]; v.result == succeeded {
						t.Errorf("it has %s", v.details)
					}
				})
			}
			// The shim, the daemon and the machine are well.
			k := c.Run(t, testenv.Spec{ID: launcher + "-after", Image: img})
			if status := k.Finish(t); status != 0 {
				t.Errorf("status %d of a container afterwards: %s", status, k.Stderr)
			}
		})
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}

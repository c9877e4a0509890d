package shim

import (
	"strings"
	"testing"

	tasktypes "github.com/containerd/containerd/api/types/task"
)

// A cgroup with members is no other container's: neither the refusal nor the delete
// helper that cleans up after it does anything to them.
func TestCgroupOfAnotherContainer(t *testing.T) {
	eachVersion(t, func(t *testing.T, d *daemon) {
		a := d.container("a", multiWasm, "sleep").run()
		b := d.container("b", multiWasm, "sleep")
		b.spec.Linux.CgroupsPath = a.spec.Linux.CgroupsPath
		b.connect()
		if _, err := b.create(); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("the second container: %v", err)
		}
		must(t, b.shutdown())
		_, err := d.cleanUp(b)
		must(t, err)
		a.requireStatus("", tasktypes.Status_RUNNING)
	})
}

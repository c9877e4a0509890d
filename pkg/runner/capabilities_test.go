package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

func TestGuestHasNoMoreThanItsJobSays(t *testing.T) {
	t.Parallel()
	ro, rw := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(ro, "file"), []byte("content"), 0o666))
	must(t, os.Symlink("/etc/hostname", filepath.Join(rw, "link"))) // which is not there
	run(t, cGuest(t, "capabilities"), options{job: job.Job{
		Preopens:    []job.Preopen{{Guest: "/ro", Host: ro, ReadOnly: true}, {Guest: "/rw", Host: rw}},
		CoarseClock: true,
	}}).expect(0, `read /ro/file: done
write /ro/file: Read-only file system
create /ro/new: Read-only file system
mkdir /ro/dir: Read-only file system
remove /ro/file: Read-only file system
rename /ro/file: Cross-device link
create /rw/new: done
list /: Capabilities insufficient
read /etc/hostname: Capabilities insufficient
read /rw/link: No such file or directory
environment: none
clocks: coarse
`)
}

func TestFineClocksAreTheDefault(t *testing.T) {
	t.Parallel()
	p := run(t, cGuest(t, "capabilities"), options{job: job.Job{Env: []string{"A=b"}}})
	if out := p.stdout.String(); p.status != 0 || !strings.HasSuffix(out, "environment: A=b\nclocks: fine\n") {
		t.Errorf("status %d\n%s", p.status, out)
	}
}

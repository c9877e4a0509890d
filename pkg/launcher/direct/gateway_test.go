package direct

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
)

// A profile that denies what only a server of ours does is no reason to leave other
// containers to runc.
func TestProfilesThatServersWouldNotKeepAreLeftToRunc(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"epoll_ctl", "pipe2", "setitimer"} {
		s := &specs.Spec{Linux: &specs.Linux{Seccomp: &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow,
			Syscalls:      []specs.LinuxSyscall{{Names: []string{name}, Action: specs.ActErrno}},
		}}}
		if why := checkSeccomp(s, &job.Job{Network: network.Full}); why != "" {
			t.Errorf("%s, of a guest that runs by itself: %s", name, why)
		}
		if why := checkSeccomp(s, &job.Job{Network: network.Full, CGI: &job.CGI{}}); !strings.Contains(why, name) {
			t.Errorf("%s: %q", name, why)
		}
	}
	for _, profile := range []*specs.LinuxSeccomp{nil, {DefaultAction: specs.ActAllow}} {
		if why := checkSeccomp(&specs.Spec{Linux: &specs.Linux{Seccomp: profile}}, &job.Job{Network: network.Full, CGI: &job.CGI{}}); why != "" {
			t.Errorf("%+v: %s", profile, why)
		}
	}
}

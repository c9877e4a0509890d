package oci

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

func TestTheRunnerStartsWithNoCapabilityThatTheGuestDoesNotKeep(t *testing.T) {
	t.Parallel()
	docker := []string{"CAP_CHOWN", "CAP_NET_RAW", "CAP_SYS_ADMIN"}
	for name, tc := range map[string]struct {
		uid                uint32
		have               *specs.LinuxCapabilities
		keep               []string
		effective, ambient []string
		nothingIsSpecified bool
	}{
		"root":             {0, &specs.LinuxCapabilities{Bounding: docker, Effective: docker, Permitted: docker}, []string{"CAP_CHOWN"}, []string{"CAP_CHOWN"}, nil, false},
		"another user":     {1000, &specs.LinuxCapabilities{Bounding: docker, Ambient: docker}, []string{"CAP_CHOWN"}, []string{"CAP_CHOWN"}, []string{"CAP_CHOWN"}, false},
		"keeps nothing":    {0, &specs.LinuxCapabilities{Bounding: docker, Effective: docker}, nil, nil, nil, false},
		"none in the spec": {0, nil, nil, nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			process := &specs.Process{Capabilities: tc.have}
			process.User.UID = tc.uid
			got := RewriteProcess(process, &Plan{Kind: Wasm, Job: &job.Job{KeepCapabilities: tc.keep}}).Capabilities
			if (got == nil) != tc.nothingIsSpecified {
				t.Fatalf("capabilities are %+v", got)
			}
			if got == nil {
				return
			}
			for set, pair := range map[string][2][]string{
				"bounding": {got.Bounding, tc.effective}, "effective": {got.Effective, tc.effective},
				"permitted": {got.Permitted, tc.effective}, "ambient": {got.Ambient, tc.ambient},
			} {
				if !slices.Equal(pair[0], pair[1]) {
					t.Errorf("%s is %v, want %v", set, pair[0], pair[1])
				}
			}
		})
	}
}

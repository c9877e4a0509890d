//go:build !escapedguest

package runner

import "github.com/containerd-wazero/containerd-shim-wazero/pkg/job"

// escape is for test builds alone: guests have no native code.
func escape(*job.Job) error { return nil }

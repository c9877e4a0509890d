package holder

import (
	"errors"
	"io"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/inherited"
)

// Role is the value of job.RoleEnv that makes the binary a holder.
const Role = "holder"

// Title is how a holder appears in ps.
const Title = "wazero-holder"

// File descriptors that a holder inherits, besides /dev/null as 1 and 2.
const (
	// FDShim is a pipe that the shim never writes to: it ends with the shim.
	FDShim = 0
	// FDBinary is a handle of the shim's own binary; /proc/self/fd/3 is executed.
	FDBinary = 3
	// FDJob is a pipe with the Job as JSON. The shim writes it when the process
	// is where it has to be.
	FDJob = 4
	// FDReport is a pipe that ends without a word when the holder has done its
	// job, and with the reason when it cannot.
	FDReport = 5
)

// MaxReport bounds a report in bytes.
const MaxReport = 4 << 10

// maxJob bounds an encoded job in bytes: a pod's sysctls are few.
const maxJob = 1 << 20

// Job is what a holder has to do.
type Job struct {
	// Hostname is the pod's; empty in a UTS namespace that is not the pod's.
	Hostname string `json:"hostname,omitempty"`
	// Sysctls are those of the pod's namespaces, by their path below /proc/sys.
	Sysctls map[string]string `json:"sysctls,omitempty"`
	// Wished are sysctls that a kernel may not have.
	Wished map[string]string `json:"wished,omitempty"`
	// User and group to become, as the holder's user namespace numbers them.
	User int `json:"user"`
}

// errShimGone is the error of a holder with nobody to hold for.
var errShimGone = errors.New("the shim is gone")

// decode reads a job to its end.
func decode(r io.Reader) (*Job, error) {
	var j Job
	err := inherited.Job(r, maxJob, &j)
	if errors.Is(err, io.EOF) {
		return nil, errShimGone
	}
	return &j, err
}

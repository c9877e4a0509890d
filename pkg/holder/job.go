package holder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	data, err := io.ReadAll(io.LimitReader(r, maxJob+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read job: %w", err)
	case len(data) == 0:
		return nil, errShimGone
	case len(data) > maxJob:
		return nil, fmt.Errorf("a job of more than %d bytes", maxJob)
	}
	var j Job
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("decode job: %w", err)
	}
	return &j, nil
}

// Package compilejob is the protocol between the shim and a compiler: what the
// compiler is told to compile, which file descriptors it inherits, and what it
// hands back.
//
// The compiler reads a module that may be hostile, so the shim trusts nothing
// that it reads here: see Reader.
package compilejob

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/inherited"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/printable"
)

// Version of the protocol. A compiler always comes from the same binary as the
// shim that starts it, so a mismatch means a bug or a replaced file.
const Version = 1

// Role is the value of job.RoleEnv that makes the binary a compiler.
const Role = "compiler"

// File descriptors that a compiler inherits. 0 and 1 are of no use to it; 2 takes
// what the Go runtime says when it ends the process.
const (
	// FDBinary is a handle of the shim's own binary that cannot be used for
	// writing; /proc/self/fd/3 is executed. The compiler closes it.
	FDBinary = 3
	// FDModule is the module, open for reading only.
	FDModule = 4
	// FDResult is a pipe for the Result and the code.
	FDResult = 5
	// FDJob is a pipe with the Job as JSON. The shim writes it when the process
	// is where it has to be: until its end the compiler does nothing.
	FDJob = 6
)

// maxJob bounds an encoded job in bytes.
const maxJob = 64 << 10

// Job is everything that a compiler needs to know.
type Job struct {
	Version int `json:"version"`
	// Module names the module in messages.
	Module string `json:"module"`
	// Workers is how many threads compile at the same time.
	Workers int `json:"workers"`
	// Memory bounds the memory of the process, in bytes.
	Memory int64 `json:"memory"`
	// InCgroup tells that a cgroup sees to that.
	InCgroup bool `json:"inCgroup,omitempty"`
	// CPUSeconds bounds the CPU time of all threads together.
	CPUSeconds uint64 `json:"cpuSeconds"`
	// User is the user and group to become; 0 for a process in a user namespace,
	// which is nobody else's already.
	User int `json:"user"`
}

// Decode reads a job to its end and checks its version. The error wraps io.EOF if
// there is none.
func Decode(r io.Reader) (*Job, error) {
	var j Job
	if err := inherited.Job(r, maxJob, &j); err != nil {
		return nil, err
	}
	if j.Version != Version {
		return nil, fmt.Errorf("job has version %d, this compiler understands %d", j.Version, Version)
	}
	return &j, nil
}

// Encode is the inverse of Decode. It sets the version, and shortens the name of
// the module if that is too long for a message.
func (j *Job) Encode() ([]byte, error) {
	c := *j
	c.Version = Version
	c.Module = printable.Cut(c.Module, maxMessage)
	data, err := json.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("encode job: %w", err)
	}
	return data, nil
}

package oci

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// Rewrite is the config.json of a Wasm container for the launcher: the process
// is the runner, and everything else stays, also what this package does not
// know. c is not changed.
func (c *Config) Rewrite(p *Plan) ([]byte, error) {
	if p.Kind != Wasm {
		return slices.Clone(c.raw), nil
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(c.raw, &top); err != nil {
		return nil, fmt.Errorf("rewrite config.json: %w", err)
	}
	key := exactKey(top, "process")
	process, err := rewriteRaw(top[key], c.Spec.Process, p)
	if err != nil {
		return nil, fmt.Errorf("rewrite config.json: %w", err)
	}
	top[key] = process
	data, err := json.Marshal(top)
	if err != nil {
		return nil, fmt.Errorf("rewrite config.json: %w", err)
	}
	return data, c.verify(data, p)
}

// verify makes sure that the launcher reads what we mean. JSON allows a key
// twice, and Go matches keys without regard to case.
func (c *Config) verify(data []byte, p *Plan) error {
	got, err := decodeSpec(data)
	if err != nil {
		return fmt.Errorf("rewrite config.json: %w", err)
	}
	want := *c.Spec
	want.Process = RewriteProcess(c.Spec.Process, p)
	if !reflect.DeepEqual(*got, want) {
		return invalidf("config.json: has a field twice: create the container again")
	}
	return nil
}

// RewriteProcess is the process of a Wasm exec for the launcher. process is not
// changed; for a native plan it is returned as it is.
func RewriteProcess(process *specs.Process, p *Plan) *specs.Process {
	if p.Kind != Wasm {
		return process
	}
	c := *process
	c.Args = runnerArgs(p.Job)
	c.Env = runnerEnv(p.Job)
	c.Capabilities = runnerCapabilities(process, p.Job)
	return &c
}

func rewriteRaw(process []byte, spec *specs.Process, p *Plan) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(process, &fields); err != nil {
		return nil, err
	}
	if fields == nil {
		fields = map[string]json.RawMessage{}
	}
	if err := replace(fields, "args", runnerArgs(p.Job)); err != nil {
		return nil, err
	}
	if err := replace(fields, "env", runnerEnv(p.Job)); err != nil {
		return nil, err
	}
	if caps := runnerCapabilities(spec, p.Job); caps != nil {
		if err := replace(fields, "capabilities", caps); err != nil {
			return nil, err
		}
	}
	return json.Marshal(fields)
}

func replace(fields map[string]json.RawMessage, name string, value any) error {
	for key := range fields {
		if strings.EqualFold(key, name) {
			delete(fields, key)
		}
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	fields[name] = data
	return nil
}

// exactKey is how an object spells a field.
func exactKey(fields map[string]json.RawMessage, name string) string {
	if _, ok := fields[name]; ok {
		return name
	}
	for key := range fields {
		if strings.EqualFold(key, name) {
			return key
		}
	}
	return name
}

// runnerArgs: the guest's argv follows for the sake of ps and docker top only.
func runnerArgs(j *job.Job) []string {
	return append([]string{job.ExecPath}, j.Args...)
}

// runnerEnv keeps the guest's environment from steering the runner's Go runtime.
func runnerEnv(j *job.Job) []string {
	role := job.RoleRunner
	if j.CGI != nil {
		role = job.RoleServer
	}
	return []string{job.RoleEnv + "=" + role, job.OneThread}
}

// runnerCapabilities are those that the guest's user keeps, and no others: the
// runner, which would drop the rest, does not have it for a moment. nil stays
// nil, which is none at all.
func runnerCapabilities(process *specs.Process, j *job.Job) *specs.LinuxCapabilities {
	if process.Capabilities == nil {
		return nil
	}
	keep := j.KeepCapabilities
	caps := &specs.LinuxCapabilities{Bounding: keep, Effective: keep, Permitted: keep}
	if process.User.UID != 0 { // only ambient capabilities survive its exec
		caps.Inheritable, caps.Ambient = keep, keep
	}
	return caps
}

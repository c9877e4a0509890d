package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// MaxConfigSize bounds config.json, in bytes.
const MaxConfigSize = 16 << 20

// Config is a bundle's config.json. It keeps fields that this version of the
// runtime specification does not know: runc may know them.
type Config struct {
	Spec *specs.Spec
	// bundle is the directory to which relative paths refer.
	bundle string
	raw    []byte
}

// ReadSpec reads and checks the config.json at path, whose directory is the
// bundle.
func ReadSpec(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, invalidf("%v: the bundle is not complete, create the container again", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxConfigSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > MaxConfigSize {
		return nil, invalidf("%s: larger than the limit of %d bytes: shorten the container's environment, arguments or annotations", path, MaxConfigSize)
	}
	spec, err := parseSpec(data)
	if err != nil {
		return nil, invalidf("%s: %v", path, err)
	}
	return &Config{Spec: spec, bundle: filepath.Dir(path), raw: data}, nil
}

func parseSpec(data []byte) (*specs.Spec, error) {
	spec, err := decodeSpec(data)
	if err != nil {
		return nil, malformed(err)
	}
	if spec.Root == nil {
		return nil, errors.New("root is missing: the container has no root file system")
	}
	if spec.Root.Path == "" {
		return nil, errors.New("root.path is missing: the container has no root file system")
	}
	if err := checkProcess(spec.Process); err != nil {
		return nil, err
	}
	return spec, nil
}

// decodeSpec leaves out what is for other systems: a new process, as a shim mostly
// is one, takes half a millisecond to learn of each type that there is.
func decodeSpec(data []byte) (*specs.Spec, error) {
	var s struct {
		Version     string            `json:"ociVersion"`
		Process     *specs.Process    `json:"process"`
		Root        *specs.Root       `json:"root"`
		Hostname    string            `json:"hostname"`
		Domainname  string            `json:"domainname"`
		Mounts      []specs.Mount     `json:"mounts"`
		Hooks       *specs.Hooks      `json:"hooks"`
		Annotations map[string]string `json:"annotations"`
		Linux       *specs.Linux      `json:"linux"`
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	return &specs.Spec{
		Version: s.Version, Process: s.Process, Root: s.Root, Hostname: s.Hostname, Domainname: s.Domainname,
		Mounts: s.Mounts, Hooks: s.Hooks, Annotations: s.Annotations, Linux: s.Linux,
	}, nil
}

// malformed names the place at which JSON is not what it should be.
func malformed(err error) error {
	var syntax *json.SyntaxError
	var field *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("truncated or malformed JSON at byte %d (%w): create the container again", syntax.Offset, err)
	case errors.As(err, &field):
		return fmt.Errorf("%s is a JSON %s, which it cannot be: correct the field", field.Field, field.Value)
	default:
		return err
	}
}

// Tree is BundleTree with the relative paths of the spec resolved against the
// bundle, as runc does.
func (c *Config) Tree() (*Tree, error) {
	mounts := slices.Clone(c.Spec.Mounts)
	for i := range mounts {
		if mounts[i].Source != "" {
			mounts[i].Source = c.Path(mounts[i].Source)
		}
	}
	return BundleTree(c.Path(c.Spec.Root.Path), mounts)
}

// JSON is the file as it is. The caller must not change it.
func (c *Config) JSON() []byte { return c.raw }

// Path is a path of the spec as an absolute one: relative ones are resolved
// against the bundle, as runc does.
func (c *Config) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.bundle, name)
}

// RequireProc checks that a Wasm container has /proc: the launcher executes the
// runner by job.ExecPath there.
func RequireProc(spec *specs.Spec) error {
	found := false
	for _, m := range spec.Mounts {
		if path.Join("/", m.Destination) == "/proc" {
			found = m.Type == "proc" || mountOf(m).source != ""
		}
	}
	if !found {
		return invalidf("mounts: nothing of type proc is mounted at /proc, which a Wasm container needs: add it to the spec")
	}
	return nil
}

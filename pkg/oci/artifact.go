package oci

import (
	"crypto/sha256"
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Missing is a program that the root file system does not have. If the image is a
// Wasm artifact, which has no file system, its command may mean the module.
//
// As an error it says what any container says whose program is not there.
type Missing struct {
	error
	// Args is the command, without an init before it.
	Args []string
}

func (m *Missing) Unwrap() error { return m.error }

// MissingProgram returns what PlanContainer or PlanExec could not find; nil if
// they found a program, or failed for another reason.
func MissingProgram(p *Plan, err error) *Missing {
	var m *Missing
	switch {
	case errors.As(err, &m):
		return m
	case p != nil:
		return p.missing
	}
	return nil
}

// Artifact is the module of an image that is no root file system.
type Artifact struct {
	// File is open for reading. The plan takes it over.
	File *os.File
	// Digest is the SHA-256 of the file, if it is known.
	Digest *[sha256.Size]byte
	// Name is what messages call the module.
	Name string
	// Args is the command as it is spelled, "#export" included.
	Args []string
	// Export is the function to call, as SplitExport says; "" for the default.
	Export string
}

// PlanArtifact plans a process that runs the module of the container's image.
func PlanArtifact(process *specs.Process, container *specs.Spec, a Artifact) (_ *Plan, err error) {
	defer func() {
		if err != nil {
			a.File.Close()
		}
	}()
	h, err := readHead(a.File)
	if err != nil {
		return nil, err
	}
	if fault := h.fault(); fault != "" {
		return nil, invalidf("the image's module %q: %s", a.Name, fault)
	}
	p := planner{process: process, container: container}
	if p.settings, err = settingsOf(container.Annotations); err != nil {
		return nil, err
	}
	j, err := p.job(&program{opened: &opened{path: a.Name}, export: a.Export}, a.Args)
	if err != nil {
		return nil, err
	}
	return &Plan{Kind: Wasm, Module: a.File, Digest: a.Digest, Job: j}, nil
}

// ModuleFault says what is wrong with a file as a Wasm module, of which head is
// the begin, and what to do about it; "" if nothing is.
func ModuleFault(head []byte) string {
	head = head[:min(len(head), headSize)]
	return headOf(head).fault()
}

// SplitExport calls means for a command as it is spelled, and then, for
// "name#export", for what stands before each "#" in turn. ok tells whether means was
// true once, and export, which may be empty, what came behind that name.
func SplitExport(command string, means func(name string) bool) (export string, ok bool) {
	if means(command) {
		return "", true
	}
	for i := range len(command) {
		if i > 0 && command[i] == '#' && command[i+1:] != "" && means(command[:i]) {
			return command[i+1:], true
		}
	}
	return "", false
}

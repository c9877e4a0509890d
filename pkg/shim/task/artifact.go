package task

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/artifact"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
)

// annotationImageName is the image as the pod names it (containerd's CRI plugin
// sets it).
const annotationImageName = "io.kubernetes.cri.image-name"

// plan plans the init process. A program that the root file system does not have
// may be the module of the image: then containerd is asked for it, and only then.
func (s *Service) plan(ctx context.Context, c *container, config *oci.Config) (*oci.Plan, error) {
	plan, err := planContainer(config)
	missing := oci.MissingProgram(plan, err)
	if missing == nil {
		return plan, err
	}
	a, findErr := artifact.Find(ctx, s.Containerd, c.id, config.Spec.Annotations[annotationImageName])
	switch {
	case errors.Is(findErr, artifact.ErrFileSystem):
		return plan, err
	case errors.Is(findErr, artifact.ErrUnknown) && err != nil:
		return nil, fmt.Errorf("%w (%v)", err, findErr)
	case errors.Is(findErr, artifact.ErrUnknown):
		s.logger(c.id).WithError(findErr).Warn("the program is not there yet")
		return plan, nil
	case findErr != nil:
		return nil, imageError(findErr)
	}
	command := missing.Args[0]
	if _, ok := oci.SplitExport(command, a.Means); !ok {
		if err == nil {
			return plan, nil // a hook may bring the program
		}
		return nil, a.Refuse(command)
	}
	c.artifact, c.artifactCommand = a, command
	return s.planArtifact(ctx, c, config.Spec, config.Spec.Process, missing.Args, a.Means)
}

// planExec plans a further process. In a container that runs the module of its image
// it may be that module once more.
func (s *Service) planExec(ctx context.Context, p *process) (*oci.Plan, error) {
	plan, err := planExec(p)
	c := p.container
	if c.artifact == nil {
		return plan, err
	}
	missing := oci.MissingProgram(plan, err)
	if missing == nil {
		return plan, err
	}
	means := func(name string) bool { return c.artifact.MeansExec(name, c.artifactCommand) }
	if _, ok := oci.SplitExport(missing.Args[0], means); !ok {
		return nil, c.artifact.Refuse(missing.Args[0])
	}
	return s.planArtifact(ctx, c, c.spec, p.spec, missing.Args, means)
}

// planArtifact plans a process that runs the module of the container's image.
func (s *Service) planArtifact(ctx context.Context, c *container, spec *specs.Spec, process *specs.Process, args []string, means func(string) bool) (*oci.Plan, error) {
	export, _ := oci.SplitExport(args[0], means)
	file, digest, err := c.artifact.Open(ctx, s.Containerd)
	if err != nil {
		return nil, imageError(err)
	}
	// What the module went through is garbage of several megabytes, in a process that
	// is there once per pod and may do nothing more for days.
	go debug.FreeOSMemory()
	return oci.PlanArtifact(process, spec, oci.Artifact{
		File: file, Digest: digest, Name: c.artifact.Name(), Args: slices.Clone(args), Export: export,
	})
}

// imageError is an error about the image of a container, or about getting at it.
// That something was not found, or was not available, is a matter between the shim
// and containerd, and must not look as if the shim or the container were gone.
func imageError(err error) error {
	if errdefs.IsNotFound(err) || errdefs.IsUnavailable(err) || errors.Is(err, context.Canceled) {
		return errdefs.ErrFailedPrecondition.WithMessage(err.Error())
	}
	return errdefs.ErrInvalidArgument.WithMessage(err.Error())
}

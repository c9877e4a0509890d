package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"

	"github.com/containerd/containerd/api/types"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/version"
)

const (
	// featuresType is under which containerd knows OCI features
	// (containerd 2.4: core/runtime/typeurl.go).
	featuresType = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
	// engineAnnotation tells which engine runs the modules.
	engineAnnotation = version.Runtime + ".engine"
	// maxFeatures bounds the output of "runc features" in bytes.
	maxFeatures = 1 << 20
)

// info describes the runtime: containerd asks once per runtime, without a
// container, and CRI needs the features to offer read-only mounts and user
// namespaces.
func info(ctx context.Context, p Process) error {
	data, err := readStdin(p.Stdin)
	if err != nil {
		return err
	}
	var any anypb.Any
	if err := proto.Unmarshal(data, &any); err != nil {
		return fmt.Errorf("decode runtime options: %w", err)
	}
	o, _, err := options.Parse(&any)
	if err != nil {
		return err
	}
	v := version.Get()
	r := &types.RuntimeInfo{
		Name:        version.Runtime,
		Version:     &types.RuntimeVersion{Version: v.Version, Revision: v.Revision},
		Annotations: map[string]string{engineAnnotation: "wazero " + v.Wazero},
	}
	if len(data) > 0 {
		r.Options = o.Any()
	}
	f, err := json.Marshal(ociFeatures(ctx, o.RuncBinary))
	if err != nil {
		return fmt.Errorf("encode features: %w", err)
	}
	r.Features = &anypb.Any{TypeUrl: featuresType, Value: f}
	out, err := proto.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	if _, err := p.Stdout.Write(out); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// ociFeatures are those of the node's runc, which makes all containers. Without
// one, or with one that is too old to tell, only the version of the spec is
// known.
func ociFeatures(ctx context.Context, runc string) *features.Features {
	f := &features.Features{OCIVersionMin: "1.0.0", OCIVersionMax: specs.Version}
	if runc == "" {
		runc = "runc"
	}
	path, err := exec.LookPath(runc)
	if err != nil {
		return f
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, "features")
	cmd.Stdout = &limitedWriter{w: &out, left: maxFeatures}
	if err := cmd.Run(); err != nil {
		return f
	}
	var theirs features.Features
	if err := json.Unmarshal(out.Bytes(), &theirs); err != nil {
		return f
	}
	return &theirs
}

// limitedWriter fails once more than left bytes have been written.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	if len(b) > l.left {
		return 0, io.ErrShortWrite
	}
	l.left -= len(b)
	return l.w.Write(b)
}

package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/options"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
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

// runtimeInfo is containerd.types.RuntimeInfo.
type runtimeInfo struct {
	name              string
	version           *runtimeVersion
	options, features *wire.Any
	annotations       map[string]string
}

// Fields implements wire.Message.
func (m *runtimeInfo) Fields(f *wire.Fields) {
	f.String(1, &m.name)
	wire.One(f, 2, &m.version)
	wire.One(f, 3, &m.options)
	wire.One(f, 4, &m.features)
	f.Pairs(5, &m.annotations)
}

// runtimeVersion is containerd.types.RuntimeVersion.
type runtimeVersion struct{ version, revision string }

// Fields implements wire.Message.
func (m *runtimeVersion) Fields(f *wire.Fields) {
	f.String(1, &m.version)
	f.String(2, &m.revision)
}

// info describes the runtime: containerd asks once per runtime, without a
// container, and CRI needs the features to offer read-only mounts and user
// namespaces.
func info(ctx context.Context, p Process) error {
	data, err := readStdin(p.Stdin)
	if err != nil {
		return err
	}
	var any wire.Any
	if err := wire.Decode(data, &any); err != nil {
		return fmt.Errorf("decode runtime options: %w", err)
	}
	o, _, err := options.Parse(any.TypeURL, any.Value)
	if err != nil {
		return err
	}
	v := version.Get()
	r := &runtimeInfo{
		name:        version.Runtime,
		version:     &runtimeVersion{v.Version, v.Revision},
		annotations: map[string]string{engineAnnotation: "wazero " + v.Wazero},
	}
	if len(data) > 0 {
		typeURL, value := o.Encode()
		r.options = &wire.Any{TypeURL: typeURL, Value: value}
	}
	f, err := json.Marshal(ociFeatures(ctx, o.RuncBinary))
	if err != nil {
		return fmt.Errorf("encode features: %w", err)
	}
	r.features = &wire.Any{TypeURL: featuresType, Value: f}
	out, err := wire.Encode(r)
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

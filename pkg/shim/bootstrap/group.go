package bootstrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
)

// groupAnnotations put containers into one shim, the first one found wins
// (containerd 2.4: cmd/containerd-shim-runc-v2/manager).
var groupAnnotations = []string{
	"io.containerd.runc.v2.group",
	"io.kubernetes.cri.sandbox-id",
}

// maxSpec bounds config.json in bytes. containerd's own messages cannot carry a
// larger one.
const maxSpec = 16 << 20

// group is the id of the group of the container whose bundle is dir: containers
// of one group share a shim. It is the container's own id when it is alone, and
// also when there is no spec (a sandbox without a pause container).
func group(dir bundle.Dir, id string) (string, error) {
	path := dir.Path("config.json")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	if err != nil {
		return "", fmt.Errorf("read spec: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSpec+1))
	if err != nil {
		return "", fmt.Errorf("read spec %s: %w", path, err)
	}
	if len(data) > maxSpec {
		return "", fmt.Errorf("spec %s is larger than %d MiB", path, maxSpec>>20)
	}
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		return "", fmt.Errorf("decode spec %s: %w", path, err)
	}
	for _, name := range groupAnnotations {
		if g := spec.Annotations[name]; g != "" {
			return g, nil
		}
	}
	return id, nil
}

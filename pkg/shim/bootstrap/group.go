package bootstrap

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/quick"
)

// group is the id of the group of the container whose bundle is dir: containers
// of one group share a shim. Package quick asks for it if it is not sure.
func group(dir bundle.Dir, id string) (string, error) {
	path := dir.Path("config.json")
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read spec: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, quick.MaxSpec+1))
	if err != nil {
		return "", fmt.Errorf("read spec %s: %w", path, err)
	}
	if len(data) > quick.MaxSpec {
		return "", fmt.Errorf("spec %s is larger than %d MiB", path, quick.MaxSpec>>20)
	}
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		return "", fmt.Errorf("decode spec %s: %w", path, err)
	}
	for _, name := range quick.GroupAnnotations {
		if g := spec.Annotations[name]; g != "" {
			return g, nil
		}
	}
	return id, nil
}

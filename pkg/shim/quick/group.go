package quick

import (
	"errors"
	"io/fs"
)

// GroupAnnotations put containers into one shim, the first one found wins
// (containerd 2.4: cmd/containerd-shim-runc-v2/manager).
var GroupAnnotations = []string{
	"io.containerd.runc.v2.group",
	"io.kubernetes.cri.sandbox-id",
}

// MaxSpec bounds config.json in bytes. containerd's own messages cannot carry a
// larger one.
const MaxSpec = 16 << 20

const specFile = "config.json"

// group is the id of the group of the container id in dir: containers of one group
// share a shim. It is the container's own id when it is alone, and also when there
// is no spec (a sandbox without a pause container).
func group(dir, id string) (string, error) {
	data, err := readFile(dir+"/"+specFile, MaxSpec)
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	if err != nil {
		return "", ErrUnsure
	}
	found := make([]string, len(GroupAnnotations))
	annotated := false
	sure := members(data, func(name string, value []byte) bool {
		if !resembles(name, "annotations") {
			return true
		}
		if name != "annotations" || annotated {
			return false
		}
		annotated = true
		return members(value, func(name string, value []byte) bool {
			if value[0] != '"' {
				return false
			}
			for i, want := range GroupAnnotations {
				if name == want {
					var sure bool
					found[i], sure = text(value)
					return sure
				}
			}
			return true
		})
	})
	if !sure {
		return "", ErrUnsure
	}
	for _, g := range found {
		if g != "" {
			return g, nil
		}
	}
	return id, nil
}

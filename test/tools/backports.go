package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// backports are the packages of Debian's backports for this machine's release, from
// where the machine has the release itself. They are no source of the machine's: apt
// has lists and a cache of their own for them, which are up to date.
func (d debs) backports(ctx context.Context) (debs, error) {
	// Before, apt does not tell where it would have packages from.
	if err := d.update(ctx); err != nil {
		return debs{}, err
	}
	release, err := codename()
	if err != nil {
		return debs{}, err
	}
	uri, keyring, err := d.source(ctx, release)
	if err != nil {
		return debs{}, err
	}
	dir := filepath.Join(d.work, "backports")
	lists, cache := filepath.Join(dir, "lists"), filepath.Join(dir, "cache")
	for _, partial := range []string{filepath.Join(lists, "partial"), filepath.Join(cache, "archives", "partial")} {
		if err := os.MkdirAll(partial, 0o755); err != nil {
			return debs{}, err
		}
	}
	list := fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n", uri, release)
	if keyring != "" {
		list += "Signed-By: " + keyring + "\n"
	}
	path := filepath.Join(dir, "backports.sources")
	if err := os.WriteFile(path, []byte(list), 0o644); err != nil {
		return debs{}, err
	}
	d.options = []string{
		"-o", "Dir::Etc::SourceList=" + path, "-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::State::Lists=" + lists, "-o", "Dir::Cache=" + cache,
		// As for downloads: apt's own user could not enter the directory.
		"-o", "APT::Sandbox::User=root",
	}
	return d, d.update(ctx)
}

// codename of the release that this machine runs.
func codename() (string, error) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"`), nil
		}
	}
	return "", fmt.Errorf("/etc/os-release has no code name: %s", text)
}

// signedBy finds a keyring, in either form of apt's lists of sources.
var signedBy = regexp.MustCompile(`(?i)signed-by[:=]\s*(/[^\s,\]]+)`)

// source is where apt has a release from, and the keyring that its list names, if it
// names one.
func (d debs) source(ctx context.Context, release string) (uri, keyring string, err error) {
	out, err := d.ask(ctx, "apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI) $(SOURCESENTRY)", "Created-By: Packages")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != release {
			continue
		}
		path, _, _ := strings.Cut(fields[2], ":") // the number of the entry follows
		list, err := os.ReadFile(path)
		if err != nil {
			return "", "", err
		}
		if found := signedBy.FindSubmatch(list); found != nil {
			keyring = string(found[1])
		}
		return fields[1], keyring, nil
	}
	return "", "", fmt.Errorf("apt has no source for %s: %s", release, out)
}

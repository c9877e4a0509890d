package scope

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Name is what a scope is called, and the slice that it is in.
type Name struct{ Slice, Unit string }

// Parse reads a linux.cgroupsPath in the form of systemd, "slice:prefix:name". What is
// left to systemd there, or is no scope, is an error.
func Parse(cgroupsPath string) (Name, error) {
	parts := strings.Split(cgroupsPath, ":")
	if len(parts) != 3 {
		return Name{}, errors.New("it is not slice:prefix:name")
	}
	slice, prefix, name := parts[0], parts[1], parts[2]
	base, ok := strings.CutSuffix(slice, suffix)
	switch {
	case !ok || strings.HasPrefix(base, "-") || strings.HasSuffix(base, "-") || strings.Contains(base, "--") || !isName(base):
		return Name{}, fmt.Errorf("%q is not the name of a slice", slice)
	case strings.HasSuffix(name, suffix):
		return Name{}, fmt.Errorf("%q is a slice", name)
	}
	n := Name{Slice: slice, Unit: prefix + "-" + name + ".scope"}
	if !isName(prefix) || !isName(name) || len(n.Unit) > longest || len(n.Slice) > longest {
		return Name{}, fmt.Errorf("%q is not the name of a scope", n.Unit)
	}
	return n, nil
}

const suffix, longest = ".slice", 255

// isName tells whether text can be a part of a unit's name, without what systemd
// gives a meaning to ("@", and "\" which escapes).
func isName(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
}

// Path of the cgroup below the root of the hierarchy.
func (n Name) Path() string { return path.Join(SlicePath(n.Slice), n.Unit) }

// SlicePath is where the cgroup of a slice is: in those that its name is made of.
func SlicePath(slice string) string {
	name := strings.TrimSuffix(slice, suffix)
	if name == "-" {
		return "/"
	}
	whole := "/"
	for i := range name {
		if name[i] == '-' {
			whole = path.Join(whole, name[:i]+suffix)
		}
	}
	return path.Join(whole, name+suffix)
}

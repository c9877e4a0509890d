package vm

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// wanted are the modules for the machine's devices and file systems, and for the
// network of pods. What the kernel has built in needs no module.
var wanted = []string{"virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "bridge", "veth"}

// modules are the files of the wanted modules below dir in the order in which
// they can be loaded, without those that the kernel has built in.
func modules(dir string) ([]string, error) {
	builtin, err := builtin(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string]string)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); err == nil && ok {
			files[underscored(name)] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var order []string
	var add func(name string) error
	add = func(name string) error {
		if builtin[underscored(name)] {
			return nil
		}
		path, ok := files[underscored(name)]
		if !ok {
			return fmt.Errorf("there is no module %s in %s", name, dir)
		}
		if slices.Contains(order, path) {
			return nil
		}
		needs, err := dependencies(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		order = append(order, path)
		return nil
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// builtin are the modules that are parts of the kernel itself, by the list that its
// build makes. Kernels that were fetched without it have all that is wanted as files.
func builtin(dir string) (map[string]bool, error) {
	list, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	names := make(map[string]bool)
	for path := range strings.Lines(string(list)) {
		names[underscored(strings.TrimSuffix(filepath.Base(strings.TrimSpace(path)), ".ko"))] = true
	}
	return names, nil
}

// underscored is the kernel's spelling of a module's name; files may have the
// other one.
func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

// dependencies of a module, as the kernel's build has noted them in it.
func dependencies(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(data, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok {
			return strings.FieldsFunc(string(list), func(r rune) bool { return r == ',' }), nil
		}
	}
	return nil, nil
}

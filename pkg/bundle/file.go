package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/bundle/names"
)

const maxFile = names.MaxFile

// header is common to all files.
type header struct {
	Version int `json:"version"`
}

// writeJSON replaces the file at path in one step: a reader sees the old or the
// new content, and a full disk leaves the old one.
func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if len(data) > maxFile {
		return fmt.Errorf("write %s: %d bytes are more than the limit of %d", path, len(data), maxFile)
	}
	return WriteFile(path, data)
}

// WriteFile replaces the file at path with data in one step. The file is
// readable by its owner only.
func WriteFile(path string, data []byte) (err error) {
	// CreateTemp makes the file with mode 0600.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	// No fsync: a bundle does not outlive a reboot.
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// readJSON decodes the file at path into v. It refuses files with a version
// above version. errors.Is(err, fs.ErrNotExist) holds when there is no file.
func readJSON(path string, version int, v any) error {
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	var h header
	if err := json.Unmarshal(data, &h); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	if h.Version < 1 || h.Version > version {
		return fmt.Errorf("%s has version %d, this shim understands 1 to %d: use the shim that wrote it", path, h.Version, version)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil {
		return nil, err
	} else if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, nil
}

package bundle

import (
	"errors"
	"io/fs"
	"os"
)

const directVersion = 1

// Direct is what there is to clean up of a container that was made without runc.
// The shim writes it before it makes any of it.
type Direct struct {
	Version int `json:"version"`
	// Cgroup is the container's, below the roots of the hierarchies.
	Cgroup string `json:"cgroup"`
	// Unit is the scope that systemd has made it for; empty if it has not.
	Unit string `json:"unit,omitempty"`
}

// WriteDirect replaces the record. It sets the version.
func (d Dir) WriteDirect(c Direct) error {
	c.Version = directVersion
	return writeJSON(d.Path(directFile), c)
}

// ReadDirect reads the record. errors.Is(err, fs.ErrNotExist) holds when there is
// none: another launcher made the container.
func (d Dir) ReadDirect() (Direct, error) {
	var c Direct
	if err := readJSON(d.Path(directFile), directVersion, &c); err != nil {
		return Direct{}, err
	}
	return c, nil
}

// RemoveDirect removes the record, when there is nothing left to clean up. It may
// be called again.
func (d Dir) RemoveDirect() error {
	if err := os.Remove(d.Path(directFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

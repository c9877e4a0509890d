package oci

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// invalidf is an error that blames the bundle. Its text is exactly the sentence:
// Docker picks the exit status 126 or 127 by the words in it ("permission
// denied", "is a directory", "no such file or directory", "executable file not
// found in $PATH"; moby daemon/errors.go).
func invalidf(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// errHidden says that a path leads below a mount whose content exists only when
// the container does: a tmpfs, proc, a volume of an unknown file system.
var errHidden = errors.New("lies below a mount that does not exist yet")

// isNotFound covers what execve calls "not there".
func isNotFound(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}

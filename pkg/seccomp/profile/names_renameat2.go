//go:build linux && !amd64 && !arm64

package profile

import "golang.org/x/sys/unix"

// withRename adds the call that Go renames files with.
func withRename(names map[uintptr]string) map[uintptr]string {
	names[unix.SYS_RENAMEAT2] = "renameat2"
	return names
}

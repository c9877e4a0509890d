package wasi

import (
	"io/fs"
	"path"

	"golang.org/x/sys/unix"

	experimentalsys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"
)

// Permissions of what a guest creates, before the umask: WASI preview 1 has no
// way to ask for others, and these are what native programs ask for.
const (
	fileMode      fs.FileMode = 0o666
	directoryMode fs.FileMode = 0o777
)

// directory is a directory of the container. Symbolic links are the kernel's
// business: the process is confined to the container's root.
type directory struct {
	experimentalsys.FS
	// path is the host's name of it.
	path string
}

func newDirectory(name string) directory {
	return directory{FS: sysfs.DirFS(name), path: name}
}

// OpenFile implements the method of wazero's FS. It opens no file of a procfs
// for writing: a guest that may write /proc/self/mem could replace the code of
// the process that runs it, and so leave the Wasm sandbox. What the links there
// lead to can be written: /dev/stdout is one.
func (d directory) OpenFile(name string, flag experimentalsys.Oflag, _ fs.FileMode) (experimentalsys.File, experimentalsys.Errno) {
	const write = experimentalsys.O_WRONLY | experimentalsys.O_RDWR
	if flag&write != 0 && d.onProcfs(name) {
		return nil, experimentalsys.EACCES
	}
	return d.FS.OpenFile(name, flag, fileMode)
}

// Mkdir implements the method of wazero's FS.
func (d directory) Mkdir(name string, _ fs.FileMode) experimentalsys.Errno {
	return d.FS.Mkdir(name, directoryMode)
}

// onProcfs tells whether the name leads to a file of a procfs. One that does not
// exist is not: nothing can be created there.
func (d directory) onProcfs(name string) bool {
	fd, err := unix.Open(path.Join(d.path, name), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var info unix.Statfs_t
	return unix.Fstatfs(fd, &info) == nil && info.Type == unix.PROC_SUPER_MAGIC
}

package reaper

import (
	"os"
	"runtime"
	"syscall"
)

// Program is a program to start, all of whose descriptors are files: nothing has to
// be copied, so that it takes less than a command does.
type Program struct {
	Path string
	// Args begin with the program's name.
	Args, Env []string
	Dir       string
	// Files are the descriptors from 0 on; nil is /dev/null.
	Files []*os.File
	Attr  *syscall.SysProcAttr
}

// StartProgram starts p and returns its pid and the channel on which its exit
// arrives once. os.StartProcess would clone another process first, to find out
// whether it may use pidfds, which nobody needs who has a Reaper.
func (r *Reaper) StartProgram(p *Program) (pid int, exits <-chan Exit, err error) {
	files, null, err := descriptors(p.Files)
	if err != nil {
		return 0, nil, err
	}
	if null != nil {
		defer null.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, _, err = syscall.StartProcess(p.Path, p.Args, &syscall.ProcAttr{Dir: p.Dir, Env: p.Env, Files: files, Sys: p.Attr})
	runtime.KeepAlive(p)
	if err != nil {
		return 0, nil, &os.PathError{Op: "fork/exec", Path: p.Path, Err: err}
	}
	return pid, r.wait(pid), nil
}

// descriptors of files; null is what stands in for those that are not there.
func descriptors(files []*os.File) (fds []uintptr, null *os.File, err error) {
	for _, f := range files {
		if f == nil {
			if null == nil {
				if null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
					return nil, nil, err
				}
			}
			f = null
		}
		fds = append(fds, f.Fd())
	}
	return fds, null, nil
}

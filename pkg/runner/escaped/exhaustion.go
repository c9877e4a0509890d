package escaped

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// exhaustion takes more than there is to have. Nothing of it is for a process
// without limits.
func exhaustion() []Attack {
	return []Attack{
		{Name: "open more files than the limit", Ends: true, Try: func(*Target) (string, error) {
			const many = 1 << 16
			for n := range many {
				if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
					return "", fmt.Errorf("after %d: %w", n, err)
				}
			}
			return fmt.Sprintf("%d files", many), nil
		}},
		{Name: "start more threads than the limit", Ends: true, Try: startThreads},
		{Name: "fill the disk beyond the limit", Ends: true, Try: func(*Target) (string, error) {
			const many = 64 << 20
			f, err := os.Create(filepath.Join(os.TempDir(), "large"))
			if err != nil {
				return "", err
			}
			chunk := make([]byte, 1<<20)
			for n := 0; n < many; n += len(chunk) {
				if _, err := f.Write(chunk); err != nil {
					return "", fmt.Errorf("after %d bytes: %w", n, err)
				}
			}
			return fmt.Sprintf("%d bytes", many), nil
		}},
		{Name: "use more memory than the limit", Ends: true, Try: func(*Target) (string, error) {
			const chunk, many = 16 << 20, 64 // 1 GiB
			for range many {
				b, err := unix.Mmap(-1, 0, chunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
				if err != nil {
					return "", err
				}
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
			}
			return fmt.Sprintf("%d bytes", chunk*many), nil
		}},
		{Name: "use the CPU for ever", Ends: true, Try: func(*Target) (string, error) {
			fmt.Println("spinning")
			for range 16 {
				go func() {
					runtime.LockOSThread()
					for n := 0; n >= 0; n = (n + 1) % 1000 {
					}
				}()
			}
			select {}
		}},
		{Name: "flood the shim with reports", Ends: true, Try: func(*Target) (string, error) {
			junk := make([]byte, 1<<16)
			for i := range junk {
				junk[i] = "{\"\n\x00]"[i%5]
			}
			fmt.Println("flooding")
			return eachDescriptor(func(fd int) (string, error) {
				for {
					if _, err := unix.Write(fd, junk); err != nil {
						return "", err
					}
				}
			})
		}},
	}
}

// startThreads makes threads with the only flags that make one. They wait for ever.
func startThreads(*Target) (string, error) {
	const many = 1000
	started := make(chan bool)
	for range many {
		go func() {
			runtime.LockOSThread()
			started <- true
			// In the kernel, so that no other goroutine has this thread.
			fds := []unix.PollFd{{Fd: -1}}
			_, _ = unix.Ppoll(fds, nil, nil)
		}()
	}
	for range many {
		<-started
	}
	return fmt.Sprintf("%d threads", many), nil
}

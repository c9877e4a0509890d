package escaped

import "golang.org/x/sys/unix"

// foreign are system calls by way of other architectures of this CPU.
func foreign() []Attack {
	return []Attack{
		{Name: "call the kernel as x32", Ends: true, Try: func(*Target) (string, error) {
			const x32 = 0x40000000
			return "getpid", call(x32 | unix.SYS_GETPID)
		}},
		{Name: "call the kernel as a 32-bit program", Ends: true, Try: func(*Target) (string, error) {
			const getpid = 20 // on i386
			if pid := int(int80(getpid)); pid < 0 {
				return "", unix.Errno(-pid)
			}
			return "getpid", nil
		}},
		{Name: "get I/O ports", Try: func(*Target) (string, error) { return "iopl", call(unix.SYS_IOPL, 0) }},
		{Name: "change the descriptor table of the CPU", Try: func(*Target) (string, error) {
			return "modify_ldt", call(unix.SYS_MODIFY_LDT, 0, 0, 0)
		}},
	}
}

// int80 makes a system call of i386 without arguments.
func int80(trap uintptr) int32

#include "textflag.h"

// System calls of amd64: the number in AX, arguments in DI, SI, DX, R10, R8, R9.

// func sleepProgram()
TEXT ·sleepProgram(SB), NOSPLIT|NOFRAME, $0-0
	// prctl(PR_SET_NAME, "wazero-holder")
	SUBQ $32, SP
	MOVQ $0x682d6f72657a6177, AX
	MOVQ AX, 0(SP)
	MOVQ $0x7265646c6f, AX
	MOVQ AX, 8(SP)
	MOVQ SP, SI
	MOVL $15, DI
	MOVL $157, AX
	SYSCALL

again:
	// read(0, stack, 1)
	XORL DI, DI
	MOVQ SP, SI
	MOVL $1, DX
	XORL AX, AX
	SYSCALL
	CMPQ AX, $-4 // EINTR
	JEQ  again
	TESTQ AX, AX
	JGT  again

	// exit_group(0)
	XORL DI, DI
	MOVL $231, AX
	SYSCALL
	INT  $3
	LONG $0xcefaedfe
	LONG $0xdf0feca

// func enterProgram()
TEXT ·enterProgram(SB), NOSPLIT|NOFRAME, $0-0
	// The stack as the kernel makes it: argc, argv…, 0, envp…
	MOVQ SP, BX

	// setns(5, CLONE_NEWUSER)
	MOVL $5, DI
	MOVL $0x10000000, SI
	MOVL $308, AX
	SYSCALL
	TESTQ AX, AX
	JNE  fail

	// setresgid(0, 0, 0)
	XORL DI, DI
	XORL SI, SI
	XORL DX, DX
	MOVL $119, AX
	SYSCALL
	TESTQ AX, AX
	JNE  fail

	// setresuid(0, 0, 0)
	XORL DI, DI
	XORL SI, SI
	XORL DX, DX
	MOVL $117, AX
	SYSCALL
	TESTQ AX, AX
	JNE  fail

	// execve("/proc/self/fd/3", argv, envp)
	MOVQ 0(BX), DX
	LEAQ 8(BX), SI
	LEAQ 16(BX)(DX*8), DX
	SUBQ $32, SP
	MOVQ $0x65732f636f72702f, AX
	MOVQ AX, 0(SP)
	MOVQ $0x332f64662f666c, AX
	MOVQ AX, 8(SP)
	MOVQ SP, DI
	MOVL $59, AX
	SYSCALL

fail:
	// exit_group(127)
	MOVL $127, DI
	MOVL $231, AX
	SYSCALL
	INT  $3
	LONG $0xcefaedfe
	LONG $0xdf0feca

// func sleepAddress() unsafe.Pointer
TEXT ·sleepAddress(SB), NOSPLIT, $0-8
	LEAQ ·sleepProgram(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func enterAddress() unsafe.Pointer
TEXT ·enterAddress(SB), NOSPLIT, $0-8
	LEAQ ·enterProgram(SB), AX
	MOVQ AX, ret+0(FP)
	RET

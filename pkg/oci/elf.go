package oci

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"runtime"
)

// machines that a Linux kernel of each architecture may execute.
func machinesOf(arch string) []elf.Machine {
	switch arch {
	case "amd64":
		return []elf.Machine{elf.EM_X86_64, elf.EM_386}
	case "386":
		return []elf.Machine{elf.EM_386}
	case "arm64":
		return []elf.Machine{elf.EM_AARCH64, elf.EM_ARM}
	case "arm":
		return []elf.Machine{elf.EM_ARM}
	case "riscv64":
		return []elf.Machine{elf.EM_RISCV}
	case "ppc64", "ppc64le":
		return []elf.Machine{elf.EM_PPC64, elf.EM_PPC}
	case "s390x":
		return []elf.Machine{elf.EM_S390}
	case "loong64":
		return []elf.Machine{elf.EM_LOONGARCH}
	default:
		return nil // unknown to us: the kernel decides
	}
}

// elfMachine reads e_machine in the byte order of the file.
func elfMachine(data []byte) elf.Machine {
	if elf.Data(data[elf.EI_DATA]) == elf.ELFDATA2MSB {
		return elf.Machine(binary.BigEndian.Uint16(data[18:20]))
	}
	return elf.Machine(binary.LittleEndian.Uint16(data[18:20]))
}

// foreign tells why this machine cannot execute an ELF file; "" if it can, be it
// through an emulator registered with the kernel.
func (h head) foreign(binfmtDir string) string {
	if h.format != formatELF {
		return ""
	}
	known := machinesOf(runtime.GOARCH)
	machine := elfMachine(h.data)
	for _, m := range known {
		if m == machine {
			return ""
		}
	}
	if len(known) == 0 || hasInterpreter(binfmtDir, h.data) {
		return ""
	}
	return fmt.Sprintf("is a program for %s, this machine is %s: build or pull the image for this architecture",
		archName(machine), runtime.GOARCH)
}

// archName is the name by which image platforms call a machine.
func archName(m elf.Machine) string {
	for _, arch := range []string{"amd64", "386", "arm64", "arm", "riscv64", "ppc64le", "s390x", "loong64"} {
		if machinesOf(arch)[0] == m {
			return arch
		}
	}
	return m.String()
}

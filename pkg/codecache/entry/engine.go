package entry

import (
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/cpu"
)

// Engine is what compiled code depends on besides its module: the version of
// wazero, the architecture, the CPU's features, and the options of the compiler.
// Example: "wazero v1.12.0 amd64 sse4.1,bmi1,abm options1".
type Engine string

const (
	// wazeroVersion is the one in go.mod: this package must not import wazero
	// to ask it.
	wazeroVersion = "v1.12.0"
	// options stands for those with which the compiler is run, the proposals
	// that guests may use and debug information among them. Another set of them
	// needs another number.
	options = 1
)

// Current is the engine of this machine and binary.
func Current() Engine { return current }

var current = Engine(fmt.Sprintf("wazero %s %s %s options%d", wazeroVersion, runtime.GOARCH, strings.Join(features(), ","), options))

// features are those of the CPU that wazero's compiler asks for, found in the
// same way: what it derives its own keys from.
func features() []string {
	found := make([]string, 0, 3)
	add := func(name string, has bool) {
		if has {
			found = append(found, name)
		}
	}
	switch runtime.GOARCH {
	case "amd64":
		add("sse4.1", cpu.X86.HasSSE41)
		add("bmi1", cpu.X86.HasBMI1)
		add("abm", cpu.X86.HasBMI1 && cpu.X86.HasBMI2 && cpu.X86.HasPOPCNT)
	case "arm64":
		add("atomics", cpu.ARM64.HasATOMICS)
	}
	if len(found) == 0 {
		return append(found, "-")
	}
	return found
}

// Supported tells whether code can be generated for this CPU. Where it cannot,
// the interpreter runs guests and there is nothing to cache.
func Supported() bool {
	switch runtime.GOARCH {
	case "amd64":
		return cpu.X86.HasSSE41
	case "arm64":
		return cpu.ARM64.HasATOMICS // guests may use atomic instructions
	default:
		return false
	}
}

// check refuses what does not fit into a header or on a line.
func (e Engine) check() error {
	if len(e) == 0 || len(e) > engineSize {
		return fmt.Errorf("an engine with a name of %d bytes, not 1 to %d", len(e), engineSize)
	}
	for _, b := range []byte(e) {
		if b < ' ' || b > '~' {
			return fmt.Errorf("an engine with the name %q", string(e))
		}
	}
	return nil
}

// Command compiler is the compiler's role alone.
package main

import (
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compiler"
)

func main() { os.Exit(compiler.Main()) }

// The runner alone, for its tests: what the shim's main does for this role.
package main

import (
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner"
)

func main() {
	os.Exit(runner.Main())
}

// Package daemon prepares the shim itself while Go initialises the packages that it
// needs, on another CPU: see package early.
package daemon

import (
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
)

func init() {
	for _, arg := range os.Args {
		if arg == "-socket" { // only the shim itself has it
			go oci.Warm()
		}
	}
}

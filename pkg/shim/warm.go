package shim

import "github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"

// warm makes the decoder of specs learn its types, which takes a millisecond, while
// containerd is on its way to send the first request.
func warm() { oci.Warm() }

package shim

import (
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
)

// warm makes the decoders of requests and specs learn their types, which takes them
// half a millisecond, while containerd is on its way to send the first request.
func warm() {
	for _, m := range []proto.Message{&ttrpc.Request{}, &ttrpc.Response{}} {
		_, _ = proto.Marshal(m)
	}
	oci.Warm()
}

package shim

import (
	"github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"google.golang.org/protobuf/proto"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/oci"
)

// warm makes the decoders learn the types of the first requests, which takes them
// a millisecond or two, while containerd is on its way to send one.
func warm() {
	oci.Warm()
	for _, m := range []proto.Message{
		&taskapi.CreateTaskRequest{}, &taskapi.CreateTaskResponse{}, &events.TaskCreate{}, &events.TaskStart{}, &events.TaskExit{},
	} {
		data, _ := proto.Marshal(m)
		_ = proto.Unmarshal(data, m)
	}
}

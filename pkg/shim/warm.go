package shim

import (
	"encoding/json"

	"github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
)

// typical has every object that most configurations have.
const typical = `{"process":{"user":{},"capabilities":{},"rlimits":[{}],"consoleSize":{}},"root":{},"mounts":[{}],"annotations":{"":""},
"linux":{"resources":{"devices":[{}],"memory":{},"cpu":{},"pids":{},"blockIO":{},"hugepageLimits":[{}]},"namespaces":[{}],
"seccomp":{"syscalls":[{"args":[{}]}]}}}`

// warm makes the decoders learn the types of the first requests, which takes them
// a millisecond or two, while containerd is on its way to send one.
func warm() {
	_ = json.Unmarshal([]byte(typical), &specs.Spec{})
	for _, m := range []proto.Message{
		&taskapi.CreateTaskRequest{}, &taskapi.CreateTaskResponse{}, &events.TaskCreate{}, &events.TaskStart{}, &events.TaskExit{},
	} {
		data, _ := proto.Marshal(m)
		_ = proto.Unmarshal(data, m)
	}
}

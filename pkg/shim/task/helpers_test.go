package task

import (
	"time"

	"github.com/containerd/containerd/api/events"
	pb "google.golang.org/protobuf/proto"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
)

type message = pb.Message

func topicOf(e message) string { return string(e.ProtoReflect().Descriptor().Name()) }

func exitOf(status uint32) reaper.Exit { return reaper.Exit{Pid: 1, Status: status, At: time.Now()} }

func startEvent() message { return &events.TaskStart{ContainerID: "c"} }

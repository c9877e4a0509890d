package task

import (
	"strings"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/reaper"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/events"
)

func nameOf(e events.Event) string { return strings.TrimPrefix(e.Type(), "containerd.events.") }

func exitOf(status uint32) reaper.Exit { return reaper.Exit{Pid: 1, Status: status, At: time.Now()} }

func startEvent() events.Event { return &events.TaskStart{ContainerID: "c"} }

package events

import "github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"

// Event is one of containerd's task events (containerd api 1.12: events/task.proto).
type Event interface {
	wire.Message
	// Topic is that under which containerd's clients subscribe to the event
	// (containerd 2.4: core/runtime/events.go).
	Topic() string
	// Type is the name of the message.
	Type() string
}

// TaskCreate says that a container was made.
type TaskCreate struct {
	ContainerID string
	Bundle      string
	Rootfs      []*wire.Mount
	IO          *TaskIO
	Checkpoint  string
	Pid         uint32
}

// Fields implements wire.Message.
func (m *TaskCreate) Fields(f *wire.Fields) {
	f.String(1, &m.ContainerID)
	f.String(2, &m.Bundle)
	wire.Many(f, 3, &m.Rootfs)
	wire.One(f, 4, &m.IO)
	f.String(5, &m.Checkpoint)
	f.Uint32(6, &m.Pid)
}

// Topic implements Event.
func (*TaskCreate) Topic() string { return "/tasks/create" }

// Type implements Event.
func (*TaskCreate) Type() string { return "containerd.events.TaskCreate" }

// TaskStart says that a container's init process runs.
type TaskStart struct {
	ContainerID string
	Pid         uint32
}

// Fields implements wire.Message.
func (m *TaskStart) Fields(f *wire.Fields) {
	f.String(1, &m.ContainerID)
	f.Uint32(2, &m.Pid)
}

// Topic implements Event.
func (*TaskStart) Topic() string { return "/tasks/start" }

// Type implements Event.
func (*TaskStart) Type() string { return "containerd.events.TaskStart" }

// TaskExit says that a process has ended.
type TaskExit struct {
	ContainerID string
	ID          string
	Pid         uint32
	ExitStatus  uint32
	ExitedAt    *wire.Timestamp
}

// Fields implements wire.Message.
func (m *TaskExit) Fields(f *wire.Fields) {
	f.String(1, &m.ContainerID)
	f.String(2, &m.ID)
	f.Uint32(3, &m.Pid)
	f.Uint32(4, &m.ExitStatus)
	wire.One(f, 5, &m.ExitedAt)
}

// Topic implements Event.
func (*TaskExit) Topic() string { return "/tasks/exit" }

// Type implements Event.
func (*TaskExit) Type() string { return "containerd.events.TaskExit" }

// TaskDelete says that a process is removed.
type TaskDelete struct {
	ContainerID string
	Pid         uint32
	ExitStatus  uint32
	ExitedAt    *wire.Timestamp
	ID          string
}

// Fields implements wire.Message.
func (m *TaskDelete) Fields(f *wire.Fields) {
	f.String(1, &m.ContainerID)
	f.Uint32(2, &m.Pid)
	f.Uint32(3, &m.ExitStatus)
	wire.One(f, 4, &m.ExitedAt)
	f.String(5, &m.ID)
}

// Topic implements Event.
func (*TaskDelete) Topic() string { return "/tasks/delete" }

// Type implements Event.
func (*TaskDelete) Type() string { return "containerd.events.TaskDelete" }

// TaskOOM says that the kernel has killed a process for want of memory.
type TaskOOM struct {
	ContainerID string
}

// Fields implements wire.Message.
func (m *TaskOOM) Fields(f *wire.Fields) {
	f.String(1, &m.ContainerID)
}

// Topic implements Event.
func (*TaskOOM) Topic() string { return topicOOM }

// Type implements Event.
func (*TaskOOM) Type() string { return "containerd.events.TaskOOM" }

// TaskExecAdded says that an exec is registered.
type TaskExecAdded struct {
	ContainerID string
	ExecID      string
}

// Fields implements wire.Message.
func (m *TaskExecAdded) Fields(f *wire.Fields) {
	f.String(1, &m.ContainerID)
	f.String(2, &m.ExecID)
}

// Topic implements Event.
func (*TaskExecAdded) Topic() string { return "/tasks/exec-added" }

// Type implements Event.
func (*TaskExecAdded) Type() string { return "containerd.events.TaskExecAdded" }

// TaskExecStarted says that an exec runs.
type TaskExecStarted struct {
	ContainerID string
	ExecID      string
	Pid         uint32
}

// Fields implements wire.Message.
func (m *TaskExecStarted) Fields(f *wire.Fields) {
	f.String(1, &m.ContainerID)
	f.String(2, &m.ExecID)
	f.Uint32(3, &m.Pid)
}

// Topic implements Event.
func (*TaskExecStarted) Topic() string { return "/tasks/exec-started" }

// Type implements Event.
func (*TaskExecStarted) Type() string { return "containerd.events.TaskExecStarted" }

// TaskPaused says that a container is paused.
type TaskPaused struct {
	ContainerID string
}

// Fields implements wire.Message.
func (m *TaskPaused) Fields(f *wire.Fields) {
	f.String(1, &m.ContainerID)
}

// Topic implements Event.
func (*TaskPaused) Topic() string { return "/tasks/paused" }

// Type implements Event.
func (*TaskPaused) Type() string { return "containerd.events.TaskPaused" }

// TaskResumed says that a container goes on.
type TaskResumed struct {
	ContainerID string
}

// Fields implements wire.Message.
func (m *TaskResumed) Fields(f *wire.Fields) {
	f.String(1, &m.ContainerID)
}

// Topic implements Event.
func (*TaskResumed) Topic() string { return "/tasks/resumed" }

// Type implements Event.
func (*TaskResumed) Type() string { return "containerd.events.TaskResumed" }

// TaskIO names the streams of a process.
type TaskIO struct {
	Stdin    string
	Stdout   string
	Stderr   string
	Terminal bool
}

// Fields implements wire.Message.
func (m *TaskIO) Fields(f *wire.Fields) {
	f.String(1, &m.Stdin)
	f.String(2, &m.Stdout)
	f.String(3, &m.Stderr)
	f.Bool(4, &m.Terminal)
}

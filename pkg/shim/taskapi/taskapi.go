// Package taskapi has the messages of containerd's Task service, of which versions 2
// and 3 are the same on the wire (containerd api 1.12: runtime/task). Package wire
// says why containerd's own are not used.
package taskapi

import "github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"

// Names of the service.
const (
	ServiceV2 = "containerd.task.v2.Task"
	ServiceV3 = "containerd.task.v3.Task"
)

// Status is where a process is in its life.
type Status int32

// Values of Status.
const (
	StatusUnknown Status = iota
	StatusCreated
	StatusRunning
	StatusStopped
	StatusPaused
)

// ContainerRequest is a request that names a container.
type ContainerRequest struct {
	ID string
}

// Fields implements wire.Message.
func (m *ContainerRequest) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
}

// ProcessRequest is a request that names a process.
type ProcessRequest struct {
	ID     string
	ExecID string // "" for init
}

// Fields implements wire.Message.
func (m *ProcessRequest) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
	f.String(2, &m.ExecID)
}

// PidResponse is an answer that names a process.
type PidResponse struct {
	Pid uint32
}

// Fields implements wire.Message.
func (m *PidResponse) Fields(f *wire.Fields) {
	f.Uint32(1, &m.Pid)
}

// Requests and answers without fields of their own.
type (
	StateRequest   = ProcessRequest
	StartRequest   = ProcessRequest
	DeleteRequest  = ProcessRequest
	WaitRequest    = ProcessRequest
	PidsRequest    = ContainerRequest
	PauseRequest   = ContainerRequest
	ResumeRequest  = ContainerRequest
	StatsRequest   = ContainerRequest
	ConnectRequest = ContainerRequest

	CreateTaskResponse = PidResponse
	StartResponse      = PidResponse
)

// CreateTaskRequest is the request of Create.
type CreateTaskRequest struct {
	ID               string
	Bundle           string
	Rootfs           []*wire.Mount
	Terminal         bool
	Stdin            string
	Stdout           string
	Stderr           string
	Checkpoint       string
	ParentCheckpoint string
	Options          *wire.Any
}

// Fields implements wire.Message.
func (m *CreateTaskRequest) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
	f.String(2, &m.Bundle)
	wire.Many(f, 3, &m.Rootfs)
	f.Bool(4, &m.Terminal)
	f.String(5, &m.Stdin)
	f.String(6, &m.Stdout)
	f.String(7, &m.Stderr)
	f.String(8, &m.Checkpoint)
	f.String(9, &m.ParentCheckpoint)
	wire.One(f, 10, &m.Options)
}

// StateResponse describes a process.
type StateResponse struct {
	ID         string
	Bundle     string
	Pid        uint32
	Status     Status
	Stdin      string
	Stdout     string
	Stderr     string
	Terminal   bool
	ExitStatus uint32
	ExitedAt   *wire.Timestamp
	ExecID     string
}

// Fields implements wire.Message.
func (m *StateResponse) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
	f.String(2, &m.Bundle)
	f.Uint32(3, &m.Pid)
	f.Int32(4, (*int32)(&m.Status))
	f.String(5, &m.Stdin)
	f.String(6, &m.Stdout)
	f.String(7, &m.Stderr)
	f.Bool(8, &m.Terminal)
	f.Uint32(9, &m.ExitStatus)
	wire.One(f, 10, &m.ExitedAt)
	f.String(11, &m.ExecID)
}

// DeleteResponse tells how a process has ended.
type DeleteResponse struct {
	Pid        uint32
	ExitStatus uint32
	ExitedAt   *wire.Timestamp
}

// Fields implements wire.Message.
func (m *DeleteResponse) Fields(f *wire.Fields) {
	f.Uint32(1, &m.Pid)
	f.Uint32(2, &m.ExitStatus)
	wire.One(f, 3, &m.ExitedAt)
}

// WaitResponse tells how a process has ended.
type WaitResponse struct {
	ExitStatus uint32
	ExitedAt   *wire.Timestamp
}

// Fields implements wire.Message.
func (m *WaitResponse) Fields(f *wire.Fields) {
	f.Uint32(1, &m.ExitStatus)
	wire.One(f, 2, &m.ExitedAt)
}

// ExecProcessRequest is the request of Exec.
type ExecProcessRequest struct {
	ID       string
	ExecID   string
	Terminal bool
	Stdin    string
	Stdout   string
	Stderr   string
	Spec     *wire.Any
}

// Fields implements wire.Message.
func (m *ExecProcessRequest) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
	f.String(2, &m.ExecID)
	f.Bool(3, &m.Terminal)
	f.String(4, &m.Stdin)
	f.String(5, &m.Stdout)
	f.String(6, &m.Stderr)
	wire.One(f, 7, &m.Spec)
}

// ResizePtyRequest tells the size of a terminal.
type ResizePtyRequest struct {
	ID     string
	ExecID string
	Width  uint32
	Height uint32
}

// Fields implements wire.Message.
func (m *ResizePtyRequest) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
	f.String(2, &m.ExecID)
	f.Uint32(3, &m.Width)
	f.Uint32(4, &m.Height)
}

// KillRequest is the request of Kill.
type KillRequest struct {
	ID     string
	ExecID string
	Signal uint32
	All    bool
}

// Fields implements wire.Message.
func (m *KillRequest) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
	f.String(2, &m.ExecID)
	f.Uint32(3, &m.Signal)
	f.Bool(4, &m.All)
}

// CloseIORequest is the request of CloseIO.
type CloseIORequest struct {
	ID     string
	ExecID string
	Stdin  bool
}

// Fields implements wire.Message.
func (m *CloseIORequest) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
	f.String(2, &m.ExecID)
	f.Bool(3, &m.Stdin)
}

// PidsResponse lists the processes of a container.
type PidsResponse struct {
	Processes []*ProcessInfo
}

// Fields implements wire.Message.
func (m *PidsResponse) Fields(f *wire.Fields) {
	wire.Many(f, 1, &m.Processes)
}

// CheckpointTaskRequest is the request of Checkpoint.
type CheckpointTaskRequest struct {
	ID      string
	Path    string
	Options *wire.Any
}

// Fields implements wire.Message.
func (m *CheckpointTaskRequest) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
	f.String(2, &m.Path)
	wire.One(f, 3, &m.Options)
}

// UpdateTaskRequest is the request of Update.
type UpdateTaskRequest struct {
	ID          string
	Resources   *wire.Any
	Annotations map[string]string
}

// Fields implements wire.Message.
func (m *UpdateTaskRequest) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
	wire.One(f, 2, &m.Resources)
	f.Pairs(3, &m.Annotations)
}

// StatsResponse has the figures of a container.
type StatsResponse struct {
	Stats *wire.Any
}

// Fields implements wire.Message.
func (m *StatsResponse) Fields(f *wire.Fields) {
	wire.One(f, 1, &m.Stats)
}

// ConnectResponse tells the pids of a shim and of a container.
type ConnectResponse struct {
	ShimPid uint32
	TaskPid uint32
	Version string
}

// Fields implements wire.Message.
func (m *ConnectResponse) Fields(f *wire.Fields) {
	f.Uint32(1, &m.ShimPid)
	f.Uint32(2, &m.TaskPid)
	f.String(3, &m.Version)
}

// ShutdownRequest is the request of Shutdown.
type ShutdownRequest struct {
	ID  string
	Now bool
}

// Fields implements wire.Message.
func (m *ShutdownRequest) Fields(f *wire.Fields) {
	f.String(1, &m.ID)
	f.Bool(2, &m.Now)
}

// ProcessInfo is a process of a container.
type ProcessInfo struct {
	Pid  uint32
	Info *wire.Any
}

// Fields implements wire.Message.
func (m *ProcessInfo) Fields(f *wire.Fields) {
	f.Uint32(1, &m.Pid)
	wire.One(f, 2, &m.Info)
}

// ProcessDetails is containerd.runc.v1.ProcessDetails: what an exec is called.
type ProcessDetails struct {
	ExecID string
}

// Fields implements wire.Message.
func (m *ProcessDetails) Fields(f *wire.Fields) {
	f.String(1, &m.ExecID)
}

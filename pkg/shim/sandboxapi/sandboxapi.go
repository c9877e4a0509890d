// Package sandboxapi has the messages of containerd's Sandbox service (containerd 2.1
// and newer; containerd api 1.12: runtime/sandbox/v1). Package wire says why
// containerd's own are not used.
package sandboxapi

import "github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"

// ServiceName is the name of the service.
const ServiceName = "containerd.runtime.sandbox.v1.Sandbox"

// SandboxRequest is a request that names a pod.
type SandboxRequest struct {
	SandboxID string
}

// Fields implements wire.Message.
func (m *SandboxRequest) Fields(f *wire.Fields) {
	f.String(1, &m.SandboxID)
}

// Requests and answers without fields of their own.
type (
	StartSandboxRequest    = SandboxRequest
	PlatformRequest        = SandboxRequest
	WaitSandboxRequest     = SandboxRequest
	PingRequest            = SandboxRequest
	ShutdownSandboxRequest = SandboxRequest
	SandboxMetricsRequest  = SandboxRequest
	// UpdateSandboxRequest has more fields, which are of no use to the shim.
	UpdateSandboxRequest = SandboxRequest

	CreateSandboxResponse   = wire.Empty
	StopSandboxResponse     = wire.Empty
	PingResponse            = wire.Empty
	ShutdownSandboxResponse = wire.Empty
	UpdateSandboxResponse   = wire.Empty
)

// CreateSandboxRequest is the request of CreateSandbox.
type CreateSandboxRequest struct {
	SandboxID   string
	BundlePath  string
	Rootfs      []*wire.Mount
	Options     *wire.Any
	NetnsPath   string
	Annotations map[string]string
}

// Fields implements wire.Message.
func (m *CreateSandboxRequest) Fields(f *wire.Fields) {
	f.String(1, &m.SandboxID)
	f.String(2, &m.BundlePath)
	wire.Many(f, 3, &m.Rootfs)
	wire.One(f, 4, &m.Options)
	f.String(5, &m.NetnsPath)
	f.Pairs(6, &m.Annotations)
}

// StartSandboxResponse is the answer of StartSandbox.
type StartSandboxResponse struct {
	Pid       uint32
	CreatedAt *wire.Timestamp
	Spec      *wire.Any
}

// Fields implements wire.Message.
func (m *StartSandboxResponse) Fields(f *wire.Fields) {
	f.Uint32(1, &m.Pid)
	wire.One(f, 2, &m.CreatedAt)
	wire.One(f, 3, &m.Spec)
}

// PlatformResponse is the answer of Platform.
type PlatformResponse struct {
	Platform *Platform
}

// Fields implements wire.Message.
func (m *PlatformResponse) Fields(f *wire.Fields) {
	wire.One(f, 1, &m.Platform)
}

// StopSandboxRequest is the request of StopSandbox.
type StopSandboxRequest struct {
	SandboxID   string
	TimeoutSecs uint32
}

// Fields implements wire.Message.
func (m *StopSandboxRequest) Fields(f *wire.Fields) {
	f.String(1, &m.SandboxID)
	f.Uint32(2, &m.TimeoutSecs)
}

// WaitSandboxResponse tells how a pod has ended.
type WaitSandboxResponse struct {
	ExitStatus uint32
	ExitedAt   *wire.Timestamp
}

// Fields implements wire.Message.
func (m *WaitSandboxResponse) Fields(f *wire.Fields) {
	f.Uint32(1, &m.ExitStatus)
	wire.One(f, 2, &m.ExitedAt)
}

// SandboxStatusRequest is the request of SandboxStatus.
type SandboxStatusRequest struct {
	SandboxID string
	Verbose   bool
}

// Fields implements wire.Message.
func (m *SandboxStatusRequest) Fields(f *wire.Fields) {
	f.String(1, &m.SandboxID)
	f.Bool(2, &m.Verbose)
}

// SandboxStatusResponse describes a pod.
type SandboxStatusResponse struct {
	SandboxID string
	Pid       uint32
	State     string
	Info      map[string]string
	CreatedAt *wire.Timestamp
	ExitedAt  *wire.Timestamp
	Extra     *wire.Any
}

// Fields implements wire.Message.
func (m *SandboxStatusResponse) Fields(f *wire.Fields) {
	f.String(1, &m.SandboxID)
	f.Uint32(2, &m.Pid)
	f.String(3, &m.State)
	f.Pairs(4, &m.Info)
	wire.One(f, 5, &m.CreatedAt)
	wire.One(f, 6, &m.ExitedAt)
	wire.One(f, 7, &m.Extra)
}

// SandboxMetricsResponse has the figures of a pod.
type SandboxMetricsResponse struct {
	Metrics *Metric
}

// Fields implements wire.Message.
func (m *SandboxMetricsResponse) Fields(f *wire.Fields) {
	wire.One(f, 1, &m.Metrics)
}

// Metric is containerd.types.Metric.
type Metric struct {
	Timestamp *wire.Timestamp
	ID        string
	Data      *wire.Any
}

// Fields implements wire.Message.
func (m *Metric) Fields(f *wire.Fields) {
	wire.One(f, 1, &m.Timestamp)
	f.String(2, &m.ID)
	wire.One(f, 3, &m.Data)
}

// Platform is containerd.types.Platform.
type Platform struct {
	OS           string
	Architecture string
	Variant      string
	OSVersion    string
	OSFeatures   []string
}

// Fields implements wire.Message.
func (m *Platform) Fields(f *wire.Fields) {
	f.String(1, &m.OS)
	f.String(2, &m.Architecture)
	f.String(3, &m.Variant)
	f.String(4, &m.OSVersion)
	f.Strings(5, &m.OSFeatures)
}

// Package sandboxapi has the messages of containerd's Sandbox service,
// containerd.runtime.sandbox.v1 (containerd 2.1 and newer): see generate for why
// containerd's own package is not used.
package sandboxapi

//go:generate go run ./generate sandbox.pb.go

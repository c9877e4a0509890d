//go:build !amd64

package escaped

// foreign are system calls by way of other architectures of this CPU.
func foreign() []Attack { return nil }

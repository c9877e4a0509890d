// Package names has what package bundle and package shim/quick, which needs nothing
// else of it, must have in common.
package names

// Files in a bundle: see package bundle.
const (
	State   = "wazero.json"
	Exit    = "exit.json"
	Socket  = "socket.json"
	Deleted = "deleted"
	// Address is containerd's, but before 2.0 the shim writes it.
	Address = "address"
)

// Versions of these files, which readers have to know.
const (
	StateVersion  = 1
	ExitVersion   = 1
	SocketVersion = 1
)

// MaxFile bounds a file in bytes. The strings in it (ids, paths) are bounded by
// containerd and Linux far below that.
const MaxFile = 64 << 10

// Package name is apart from package version because it needs nothing: see package
// shim/quick.
package name

// Runtime is the name by which users ask for the shim.
const Runtime = "io.containerd.wazero.v1"

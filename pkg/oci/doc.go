// Package oci turns a container's OCI bundle into a plan: run the image's own
// program, or run a WebAssembly module and with what.
//
// The rules, in the order in which they apply:
//
//   - The file that process.args[0] names is found as the container's own kernel
//     would find it: inside the root file system and the mounts of the spec, never
//     outside (Tree).
//   - Its content decides, not its name: see Program.
//   - What cannot run is an error with one sentence that names the file or the
//     field, and the remedy. All errors of this package that blame the bundle are
//     errdefs.ErrInvalidArgument.
//
// The package reads at most the first bytes of a file. It never parses a module:
// the shim is root on the host and modules are hostile.
package oci

// Package preview1 is WASI preview 1 for containers: all 46 functions of the import
// module wasi_snapshot_preview1, on the public API of wazero.
//
// The specification is
// https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md; where it is
// silent, a function does what the POSIX call does that it resembles, on Linux.
// A System is what one instance sees; the functions find it in the context of the
// call (WithSystem). There is a file for each noun of the specification, and each
// function says what it takes and which errors it has of its own; those of the
// system calls beneath it come through.
//
// Whatever a guest passes, a function gives an error or does what it should:
// memory is checked, counts are bounded, descriptors are looked up. What is open
// here is not known to the process by the same number.
package preview1

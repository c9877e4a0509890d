// Package wasmedge is the socket extension of WasmEdge, which adds to the module
// wasi_snapshot_preview1 what preview 1 does not have: sockets of the guest's own.
//
// There is no specification. Authoritative are WasmEdge's sources
// (lib/host/wasi/wasifunc.cpp, inode-linux.cpp; include/wasi/api.hpp) and the
// libraries of guests: the crate wasmedge_wasi_socket and the Go module
// github.com/stealthrocket/net. There are two versions, of which a guest may mix
// the functions: addresses are 4 or 16 bytes in the first, and 128 with the family
// before them in the second, as which of them they are is told by their length.
//
// What the policy of the network does not allow is EACCES.
package wasmedge

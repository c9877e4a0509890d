// Package entry is the format in which the compiled code of one module travels
// from the compiler to the cache and from the cache to runners: a file or a
// memfd.
//
// An entry is a header of 256 bytes and what wazero wrote for the module, cut in
// three: what stands before the machine code, the code, and what comes after it.
// The code begins at a page of the file, so that a runner may map it:
//
//	  0  magic "wazerocc"
//	  8  format u32, reserved u32 (0)
//	 16  sha256 of the module
//	 48  the key of the module, as package engine derives it
//	 80  sizes u64 of prefix, code and suffix; offset u64 of the code; size u64
//	     of the module; reserved u64 (0)
//	128  engine, 64 bytes, padded with zeros
//	192  sha256 of everything after the header
//	224  sha256 of the 224 bytes above
//	256  prefix, zeros up to the code's offset, code, suffix, end of file
//
// Numbers are little endian, sizes in bytes. The two sums find damage; they prove
// nothing about where an entry comes from, which is a matter of who can write
// to the place where it is kept.
package entry

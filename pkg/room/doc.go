// Package room makes the surroundings of a Wasm guest's process, from inside of
// that process: what is left of the file system, of its privileges and of its
// limits. It is the child's half of pkg/launcher/direct, as runc's init is of
// runc.
//
//	room.go    what a room is, and the order of steps
//	mount.go   the root and what is mounted below it
//	place.go   where something is mounted, inside a root that an image has filled
//	device.go  /dev
//	hide.go    masked and read-only paths
//	user.go    who the process is, and what it may use
//	join.go    the room of a process that is there already, for an exec
//
// The room is emptier than what the same configuration means to a native program.
// There is no /proc, no /sys, no file system of cgroups or message queues, and
// five devices, with links for a guest's own descriptors: a guest has no system calls to use any of it with, and somebody
// who breaks out of the engine finds nothing. Nothing in the room is executable,
// and no device node in an image or a volume works.
package room

// Package direct creates the containers of Wasm guests without runc: one clone
// into the namespaces and the cgroup, and the runner makes its room from inside
// (see pkg/room).
//
//	direct.go      create a container, or let runc do it
//	allow.go       which configurations this package understands in full
//	fields.go      the list of fields
//	mounts.go      what becomes of mounts
//	scope.go       cgroups that systemd makes
//	plan.go        what becomes of the rest
//	thread.go      the thread that clones
//	namespaces.go  which namespaces are new, and which are joined
//	container.go   a container that exists
//	hooks.go       programs of the host that want to know
//	terminal.go    pseudo terminals
//
// Nothing is ever ignored: a configuration with a field, or a value, that is not
// on the list is runc's. docs/oci-spec.md has a row for each field.
package direct

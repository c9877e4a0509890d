// Package task implements containerd's Task service (containerd.task.v3.Task
// and, identical on the wire, v2) for the containers of one shim.
//
// The life of a container, and the files that tell it:
//
//	create.go   mount, plan, launch: a process that waits        TaskCreate
//	start.go    let it run; or launch an exec                    TaskStart, TaskExecStarted
//	exit.go     what happens when a process ends                 TaskOOM, TaskExit
//	delete.go   remove what is left                              TaskDelete
//
// Locks: Service.mu guards the registry, container.mu the execs of a container,
// process.mu the state of a process. Each is held for memory operations only,
// in that order, so State, Wait, Pids and Connect always answer at once.
// Operations that take time (Start, Pause, Delete, …) on one process exclude
// each other by process.busy, which nothing else waits for.
package task

// Package sandbox implements containerd's Sandbox service
// (containerd.runtime.sandbox.v1.Sandbox): a pod without a pause container. It is
// what a runtime class with sandboxer = "shim" uses, in containerd 2.1 or newer.
//
// What containerd 2.4 does, and what it leaves to us (internal/cri/server,
// plugins/sandbox, core/runtime/v2):
//
//   - RunPodSandbox makes and pins the network namespace, inside a user namespace
//     if the pod has one, and runs CNI. Then it starts a shim with a bundle that
//     has no config.json, and calls CreateSandbox with the pod's configuration as
//     CRI has it, StartSandbox and WaitSandbox. Whatever fails is followed by
//     ShutdownSandbox.
//   - Nobody makes the pod's /dev/shm, hostname, hosts and resolv.conf: containers
//     get those that exist in containerd's own directories, which are those of its
//     other sandboxer. So we make them, and mount them into containers (members.go).
//   - CreateContainer asks for SandboxStatus, and joins /proc/<pid>/ns/{net,ipc,uts}
//     of its pid, ns/pid if the pod shares one and ns/user if it has one. The
//     containers come by the Task service, on the same connection's address.
//   - StopPodSandbox kills the containers one by one, calls StopSandbox, and then
//     wants to unmount the network namespace; RemovePodSandbox deletes the
//     containers, calls ShutdownSandbox, waits until our connection is closed, runs
//     the delete helper and removes the bundle.
//   - A restarted containerd dials the address in the bundle, calls Task.Connect
//     and Task.Pids with the pod's id (any answer but a lost connection will do),
//     SandboxStatus, and WaitSandbox again.
//   - A shim that is killed takes the holder with it. containerd sees the connection
//     close, runs the delete helper for the pod and each container, and answers
//     SANDBOX_NOTREADY from then on.
package sandbox

// Package holder is the process that keeps a pod's namespaces while there is no
// container in them: what a pause container is for others, without an image, a
// container or a root file system.
//
// The shim clones it into the namespaces (see pkg/launcher/pod); it finishes
// them from inside (host name, sysctls), gives up whatever it could do, and
// sleeps until the shim is gone or kills it. As process 1 of a PID namespace that
// the pod's containers share, it also takes their orphans.
//
// A Go program takes some MiB to do nothing, once per pod. So the holder replaces
// itself by a program of a few instructions (see program) that sleeps for it.
package holder

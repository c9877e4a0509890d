package oci

// typical has every object that most configurations have.
const typical = `{"process":{"user":{},"capabilities":{},"rlimits":[{}],"consoleSize":{}},"root":{},"mounts":[{}],"annotations":{"":""},
"linux":{"resources":{"devices":[{}],"memory":{},"cpu":{},"pids":{},"blockIO":{},"hugepageLimits":[{}]},"namespaces":[{}],
"seccomp":{"syscalls":[{"args":[{}]}]}}}`

// Warm makes the decoder of configurations learn their types, which takes it half a
// millisecond, before there is one.
func Warm() { _, _ = decodeSpec([]byte(typical)) }

package listen

import (
	"slices"
	"strconv"
	"strings"
)

// Variable is the environment variable by which a container asks for sockets where
// annotations do not reach. Guests do not get to see it.
const Variable = "WAZERO_LISTEN"

// variables are those that tell a guest. There is none for a process id, which
// guests do not have.
const (
	countVariable = "LISTEN_FDS"
	namesVariable = "LISTEN_FDNAMES"
	startVariable = "LISTEN_FDS_START"
	// rustVariable is what the crate listenfd takes instead of startVariable.
	rustVariable = "LISTEN_FDS_FIRST_FD"
)

// noName is what systemd calls a descriptor without a name.
const noName = "unknown"

// Without is an environment without Variable, the value of which it returns too. As
// with getenv(3), the first one counts.
func Without(env []string) (others []string, value string) {
	own := func(v string) bool { return strings.HasPrefix(v, Variable+"=") }
	i := slices.IndexFunc(env, own)
	if i < 0 {
		return env, ""
	}
	return slices.DeleteFunc(slices.Clone(env), own), strings.TrimPrefix(env[i], Variable+"=")
}

// Environ is an environment that tells about sockets, with descriptors from first
// on, and about no others. Without sockets it is left alone.
func Environ(env []string, sockets []Socket, first int) []string {
	if len(sockets) == 0 {
		return env
	}
	names := make([]string, len(sockets))
	for i, s := range sockets {
		if names[i] = s.Name; s.Name == "" {
			names[i] = noName
		}
	}
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == countVariable || name == namesVariable || name == startVariable || name == rustVariable || name == "LISTEN_PID"
	})
	return append(env,
		countVariable+"="+strconv.Itoa(len(sockets)),
		namesVariable+"="+strings.Join(names, ":"),
		startVariable+"="+strconv.Itoa(first),
		rustVariable+"="+strconv.Itoa(first))
}

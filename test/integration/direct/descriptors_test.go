package direct

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// descriptors are about the names that a guest's own descriptors have. In the direct
// launcher's room they are links that lead nowhere.
func descriptors() []comparison {
	does := []string{
		"write", "/dev/stdout", "write", "/dev/stderr", "write", "/dev/fd/1", "write", "/logs/app.log", "write", "/logs/error.log",
		"link", "/dev/stdout", "/public/dev.log", "write", "/public/dev.log", "link", "/proc/self/fd/2", "/public/proc.log", "write", "/public/proc.log",
		"write", "/dev/fd/x", "write", "/logs/nowhere.log", "read", "/dev/stdin", "read", "/dev/fd/0", "directory", "/dev/stdout",
	}
	want := view{
		"file /dev/fd": "120777 0:0 -> /proc/self/fd", "file /dev/stdin": "120777 0:0 -> /proc/self/fd/0",
		"file /dev/stdout": "120777 0:0 -> /proc/self/fd/1", "file /dev/stderr": "120777 0:0 -> /proc/self/fd/2",
	}
	// The guest's C library keeps what is printed, but for the first line, until it waits.
	said := "made\nwrite /dev/stdout: ok\nmade\nmade\nmade\nwrite /dev/stderr: ok\nwrite /dev/fd/1: ok\nwrite /logs/app.log: ok\nwrite /logs/error.log: ok\n" +
		"link /public/dev.log: ok\nwrite /public/dev.log: ok\nlink /public/proc.log: ok\nwrite /public/proc.log: ok\n" +
		"write /dev/fd/x: No such file or directory\nwrite /logs/nowhere.log: No such file or directory\n" +
		"read /dev/stdin: \"from the host\n\"\nread /dev/fd/0: \"\"\ndirectory /dev/stdout: File exists\nwaiting"
	user := func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} }
	by := func(change func(*specs.Spec)) func(*testing.T, *place, *specs.Spec) {
		return func(_ *testing.T, _ *place, s *specs.Spec) { change(s) }
	}
	piped := func(name string, spec func(*testing.T, *place, *specs.Spec)) comparison {
		w := view{"stdout": said, "stderr": "made\nmade\nmade\n"}
		for key, value := range want {
			w[key] = value
		}
		return comparison{name: name, does: does, stdin: "from the host\n", spec: spec, want: w}
	}
	onTerminal := func(name string, spec func(*testing.T, *place, *specs.Spec)) comparison {
		return comparison{name: name, tty: true, spec: spec, does: []string{"write", "/dev/stdout", "write", "/logs/error.log", "write", "/dev/fd/0"},
			want: view{"stdout": "made\r\nwrite /dev/stdout: ok\r\nmade\r\nwrite /logs/error.log: ok\r\nmade\r\nwrite /dev/fd/0: ok\r\nwaiting"}}
	}
	return []comparison{
		piped("descriptors by name", nil),
		piped("descriptors by name, of a user", by(user)),
		piped("descriptors by name, where something can be mounted", bound("rbind", "rslave")),
		piped("descriptors by name, in a read-only root", by(func(s *specs.Spec) {
			s.Root.Readonly = true
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/public", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=777"}})
		})),
		onTerminal("terminal by name", nil),
		onTerminal("terminal by name, of a user", by(user)),
	}
}

package containerd

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/types/runtimeoptions/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestBadInput shows that whatever is wrong with a container, ctr prints one
// sentence that names it and the remedy, and nothing is left: no container, no
// event of a start, and what StartContainerd looks for at the end.
func TestBadInput(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	events := c.Record(t)
	img := badImage()
	c.Import(t, img)
	run := func(t *testing.T, id string, flags []string, args ...string) (string, error) {
		t.Helper()
		flags = append([]string{"run", "--rm"}, flags...)
		if !slices.Contains(flags, "--runtime") {
			flags = append(flags, "--runtime", testenv.Runtime)
		}
		return c.TryCtr(append(append(flags, img.Name, id), args...)...)
	}

	t.Run("the image works otherwise", func(t *testing.T) {
		if out, err := run(t, "good", nil, "/good.wasm"); out != "" || err != nil {
			t.Errorf("%q %v", out, err)
		}
	})
	for i, test := range badInputs(t) {
		t.Run(test.name, func(t *testing.T) {
			id := fmt.Sprintf("bad-%d", i)
			out, err := run(t, id, test.flags, test.args...)
			if err == nil {
				t.Fatalf("it runs: %q", out)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if left := c.Ctr(t, "container", "ls", "-q") + c.Ctr(t, "task", "ls", "-q"); left != "" {
				t.Errorf("left behind: %q", left)
			}
			for _, e := range events.Of(id) {
				if e == "start" || strings.HasPrefix(e, "exit") {
					t.Errorf("event %q of a container that never ran", e)
				}
			}
		})
	}
}

type badInput struct {
	name  string
	flags []string
	args  []string
	want  []string
}

func badInputs(t *testing.T) []badInput {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside.wasm")
	write(t, outside, goodModule())
	huge := filepath.Join(dir, "huge.wasm")
	write(t, huge, goodModule())
	if err := os.Truncate(huge, 2<<30); err != nil {
		t.Fatal(err)
	}
	leak := filepath.Join(dir, "volume")
	if err := os.Mkdir(leak, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(leak, "link.wasm")); err != nil {
		t.Fatal(err)
	}
	malformed := filepath.Join(dir, "malformed.toml")
	write(t, malformed, []byte("SystemdCgroup = tru\n"))
	wrongType := filepath.Join(dir, "wrong-type.toml")
	write(t, wrongType, []byte("allow_native_exec = \"yes\"\n"))
	misspelt := filepath.Join(dir, "misspelt.toml")
	write(t, misspelt, []byte("SystemdCgroups = true\n"))
	_, foreignName := foreignProgram()
	const check = "check ENTRYPOINT and CMD of the image"

	return []badInput{
		{"missing module", nil, []string{"/gone.wasm"}, []string{`"/gone.wasm": no such file or directory: ` + check}},
		{"missing in PATH", nil, []string{"gone"}, []string{`"gone": executable file not found in $PATH: ` + check}},
		{"a directory", nil, []string{"/locked"}, []string{`"/locked": is a directory: name the module in it`}},
		{"below a file", nil, []string{"/good.wasm/x"}, []string{"not a directory"}},
		{"no permission", []string{"--user", "1000:1000"}, []string{"/private.wasm"},
			[]string{`"/private.wasm" (mode 0600, owner 0:0) is closed to user 1000:1000: permission denied: make it readable (chmod a+r)`}},
		{"no permission for the directory", []string{"--user", "1000:1000"}, []string{"/locked/in.wasm"},
			[]string{`"/locked" (mode 0700, owner 0:0) is closed to user 1000:1000: permission denied`}},
		{"empty file", nil, []string{"/empty.wasm"}, []string{`"/empty.wasm": is an empty file: copy the module into the image again`}},
		{"text file", nil, []string{"/text.wasm"}, []string{`"/text.wasm": is a text file without "#!" line`, check}},
		{"Wasm text", nil, []string{"/wat.wasm"}, []string{"is WebAssembly text", "wat2wasm"}},
		{"truncated in the header", nil, []string{"/head.wasm"}, []string{`"/head.wasm": is a truncated file of 6 bytes`}},
		{"truncated", nil, []string{"/cut.wasm"}, []string{`module "/cut.wasm" is damaged`}},
		{"corrupted", nil, []string{"/corrupted.wasm"}, []string{`module "/corrupted.wasm" is damaged`}},
		{"component", nil, []string{"/component.wasm"}, []string{`"/component.wasm": is a Wasm component`, "build it as a module for wasip1, or extract the core module"}},
		{"unknown export", nil, []string{"/good.wasm#serve"}, []string{`module "/good.wasm" does not export a function "serve"`, `"_start"`}},
		{"no export", nil, []string{"/good.wasm#"}, []string{`names no export after "#"`}},
		{"import that nobody provides", nil, []string{"/import.wasm"}, []string{`module "/import.wasm" imports "acme"."pay"`, "build the module for wasip1"}},
		{"unsupported proposal", nil, []string{"/memory64.wasm"}, []string{`module "/memory64.wasm" uses 64-bit memory (memory64), which this runtime does not support; build it without`}},
		{"ELF of another architecture", nil, []string{"/foreign"}, []string{`"/foreign": is a program for ` + foreignName + ", this machine is " + runtime.GOARCH}},
		{"symlink out of the rootfs", nil, []string{"/escape.wasm"}, []string{`"/escape.wasm": no such file or directory`}},
		{"symlink out of a volume", []string{"--mount", "type=bind,src=" + leak + ",dst=/vol,options=rbind:ro"}, []string{"/vol/link.wasm"}, []string{`"/vol/link.wasm": no such file or directory`}},
		{"symlink to itself", nil, []string{"/loop.wasm"}, []string{"too many levels of symbolic links"}},
		{"dangling symlink", nil, []string{"/dangling.wasm"}, []string{`"/dangling.wasm": no such file or directory`}},
		{"dots out of the rootfs", nil, []string{"/../../../../../../../.." + outside}, []string{"no such file or directory"}},
		{"dots out of the working directory", []string{"--cwd", "/locked"}, []string{"../../../../../../../.." + outside}, []string{"no such file or directory"}},
		{"a sparse file of 2 GiB", []string{"--mount", "type=bind,src=" + huge + ",dst=/huge.wasm,options=rbind:ro"}, []string{"/huge.wasm"},
			[]string{`"/huge.wasm": a module of 2147483648 bytes is larger than the limit of 1073741824`}},
		{"annotation of a handler that is not there", []string{"--annotation", "run.oci.handler=krun"}, []string{"/good.wasm"}, []string{`annotation run.oci.handler="krun"`, "set it to wasm"}},
		{"malformed options", []string{"--runtime-config-path", malformed}, []string{"/good.wasm"}, []string{malformed, "line 1"}},
		{"option of the wrong type", []string{"--runtime-config-path", wrongType}, []string{"/good.wasm"}, []string{wrongType, "allow_native_exec", "true or false"}},
		{"unknown option", []string{"--runtime-config-path", misspelt}, []string{"/good.wasm"}, []string{misspelt, "unknown runtime option SystemdCgroups", "the shim knows"}},
		{"missing options file", []string{"--runtime-config-path", dir + "/gone.toml"}, []string{"/good.wasm"}, []string{dir + "/gone.toml", "no such file or directory"}},
		{"config.json truncated", []string{"--runtime", shimThat(t, dir, "truncates", `head -c 100 config.json > c && mv c config.json`)}, []string{"/good.wasm"},
			[]string{"config.json: unexpected end of JSON input"}},
		{"config.json without process", []string{"--runtime", shimThat(t, dir, "forgets", `echo '{"root":{"path":"rootfs"}}' > config.json`)}, []string{"/good.wasm"},
			[]string{"config.json: process is missing"}},
		{"config.json without /proc", []string{"--runtime", shimThat(t, dir, "unmounts", `sed -i 's|"destination":"/proc"|"destination":"/mnt"|' config.json`)}, []string{"/good.wasm"},
			[]string{"mounts: nothing of type proc is mounted at /proc"}},
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// shimThat makes a runtime that does something to the bundle when containerd
// starts the shim in it, and then starts the real one. containerd itself never
// writes such a config.json.
func shimThat(t *testing.T, dir, does, command string) string {
	t.Helper()
	path := filepath.Join(dir, "containerd-shim-"+does+"-v1")
	script := fmt.Sprintf("#!/bin/sh\nfor arg; do\n  if [ \"$arg\" = start ]; then\n    %s\n  fi\ndone\nexec containerd-shim-wazero-v1 \"$@\"\n", command)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Fields of a newer runtime specification are runc's business: they are not
// lost when the shim rewrites config.json.
func TestUnknownFieldsReachRunc(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	img := badImage()
	c.Import(t, img)
	extends := shimThat(t, t.TempDir(), "extends", `sed -i 's|^{|{"fromTheFuture":{"a":[1]},|; s|"process":{|&"future":12345678901234567890,|' config.json`)
	task, err := c.Create(t, testenv.Spec{ID: "future", Image: img, Args: []string{"/good.wasm"}, Runtime: extends})
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(c.Dir, "state/io.containerd.runtime.v2.task", c.Namespace, "future/config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"fromTheFuture":{"a":[1]}`, `"future":12345678901234567890`, `"/proc/self/fd/3"`} {
		if !strings.Contains(string(config), want) {
			t.Errorf("runc's config.json has no %s: %s", want, config)
		}
	}
	if err := task.Start(task.Context()); err != nil {
		t.Fatal(err)
	}
	if status := task.Finish(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// An option that the shim does not know is an error in a file that was written
// for it, and a line in the log where CRI sends a whole table of its
// configuration.
func TestUnknownOptionInATableIsLogged(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	img := badImage()
	c.Import(t, img)
	task := c.Run(t, testenv.Spec{
		ID: "unknown", Image: img, Args: []string{"/good.wasm"},
		RuntimeOptions: &runtimeoptions.Options{ConfigBody: []byte("SystemdCgroups = true\n")},
	})
	if status := task.Finish(t); status != 0 {
		t.Errorf("exit status is %d, want 0", status)
	}
	testenv.Eventually(t, "a line in the log", func() error {
		if !strings.Contains(c.Log(), "unknown runtime option SystemdCgroups") {
			return fmt.Errorf("not in containerd's log")
		}
		return nil
	})
}

// An exec of what cannot run is refused, and the container goes on.
func TestBadExec(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	var guests testenv.Guests
	img := guests.Multi(t, testenv.Wasm)
	for name, f := range badImage().Files {
		img.Files[name] = f
	}
	c.Import(t, img)
	task := c.Run(t, testenv.Spec{ID: "host", Image: img, Args: []string{multi, "sleep"}})
	for i, test := range []struct {
		args []string
		want string
	}{
		{[]string{"/gone.wasm"}, `"/gone.wasm": no such file or directory`},
		{[]string{"gone"}, "executable file not found in $PATH"},
		{[]string{"/locked"}, "is a directory"},
		{[]string{"/empty.wasm"}, "is an empty file"},
		{[]string{"/component.wasm"}, "is a Wasm component"},
		{[]string{"/corrupted.wasm"}, `module "/corrupted.wasm" is damaged`},
		{[]string{"/good.wasm#serve"}, `does not export a function "serve"`},
		{[]string{"/import.wasm"}, `imports "acme"."pay"`},
		{[]string{"/escape.wasm"}, "no such file or directory"},
		{[]string{"/foreign"}, "this machine is " + runtime.GOARCH},
	} {
		_, err := task.TryExec(t, fmt.Sprintf("e%d", i), test.args...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("exec %s: %v, want %s", test.args, err, test.want)
		}
	}
	if r := task.Exec(t, "good", "/good.wasm"); r.Status != 0 {
		t.Errorf("exec of a good module after the bad ones: %+v", r)
	}
}

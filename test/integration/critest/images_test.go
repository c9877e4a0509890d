package critest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// pauseImage is the one of sandbox containers.
const pauseImage = "test.local/pause:1"

// Names that are constants in critest (pkg/framework/util.go, pkg/validate). Our
// registry is both hosts.
const (
	e2eImages = "registry.k8s.io/e2e-test-images/"
	criImages = "gcr.io/k8s-staging-cri-tools/"
)

// images are critest's images of containers, made from nothing: a busybox, and a
// web server that knows what critest asks it.
func images(t *testing.T) []testenv.Image {
	t.Helper()
	var guests testenv.Guests
	user := files(t)
	user["/etc/passwd"] = text("root:x:0:0:root:/root:/bin/sh\ndefault-user:x:1000:1000::/home:/bin/sh\n")
	user["/etc/group"] = text("root:x:0:\ndefault-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n")
	all := []testenv.Image{
		{
			Name:   pauseImage,
			Files:  map[string]testenv.File{"/pause": {Data: guests.Build(t, "pause", testenv.Native)}},
			Config: v1.ImageConfig{Entrypoint: []string{"/pause"}},
		},
		{Name: e2eImages + "busybox:1.29-2", Files: files(t), Config: v1.ImageConfig{Cmd: []string{"sh"}}},
		{Name: criImages + "test-image-predefined-group:latest", Files: user, Config: v1.ImageConfig{User: "1000", Cmd: []string{"sh"}}},
	}
	nnp := files(t)
	nnp["/nnp"] = testenv.File{Data: build(t, "euid"), Mode: 0o4755}
	all = append(all, testenv.Image{Name: e2eImages + "nonewprivs:1.3", Files: nnp, Config: v1.ImageConfig{Entrypoint: []string{"/nnp"}}})
	program := build(t, "webserver")
	for _, server := range []struct{ name, path, title, port string }{
		{e2eImages + "nginx:1.14-2", "/bin/nginx", "nginx: master process", "80"},
		{e2eImages + "httpd:2.4.39-4", "/bin/httpd-server", "httpd", "80"},
		{criImages + "hostnet-nginx-" + runtime.GOARCH + ":latest", "/bin/nginx", "nginx: master process", "12003"},
	} {
		f := files(t)
		f[server.path] = testenv.File{Data: program}
		all = append(all, testenv.Image{Name: server.name, Files: f, Config: v1.ImageConfig{Cmd: []string{server.path, server.title, server.port}}})
	}
	return append(all, pulled()...)
}

// pulled are the images that critest's tests of the image service pull and remove.
// Nothing runs in them.
func pulled() []testenv.Image {
	var all []testenv.Image
	for name, image := range map[string]struct{ content, user string }{
		"latest:latest":              {"latest", ""},
		"tag:test":                   {"tag", ""},
		"tag:all":                    {"all", ""},
		"user-uid:latest":            {"uid", "1002"},
		"user-username:latest":       {"username", "www-data"},
		"user-uid-group:latest":      {"uid-group", "1003:group"},
		"user-username-group:latest": {"username-group", "www-data:group"},
		"1:latest":                   {"1", ""},
		"2:latest":                   {"2", ""},
		"3:latest":                   {"3", ""},
		"tags:1":                     {"tags", ""},
		"tags:2":                     {"tags", ""},
		"tags:3":                     {"tags", ""},
	} {
		all = append(all, testenv.Image{
			Name:   criImages + "test-image-" + name,
			Files:  map[string]testenv.File{"/content": text(image.content)},
			Config: v1.ImageConfig{User: image.user},
		})
	}
	return all
}

// files are the root file system of a busybox image.
func files(t *testing.T) map[string]testenv.File {
	t.Helper()
	path, data := testenv.Busybox(t)
	f := map[string]testenv.File{
		"/bin/busybox": {Data: data},
		"/etc/passwd":  text("root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\nnobody:x:65534:65534::/home:/bin/sh\n"),
		"/etc/group":   text("root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"),
		"/tmp":         {Dir: true, Mode: 0o1777},
		"/root":        {Dir: true, Mode: 0o700},
		"/var/run":     {Dir: true},
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		t.Fatalf("%s --list: %v", path, err)
	}
	for name := range strings.FieldsSeq(string(applets)) {
		if name != "busybox" {
			f["/bin/"+name] = testenv.File{Link: "busybox"}
		}
	}
	f["/bin/sh"] = testenv.File{Data: build(t, "sh")}
	f["/bin/ls"] = testenv.File{Data: data} // critest masks it, and not busybox
	f["/bin/pgrep"] = testenv.File{Data: []byte(pgrep)}
	f["/bin/ipcs"] = testenv.File{Data: []byte("#!/bin/sh\ncat /proc/sysvipc/shm\n")}
	return f
}

// pgrep is what Debian's busybox does not have.
const pgrep = `#!/bin/sh
found=1
for dir in /proc/[0-9]*; do
	if [ "$(cat "$dir/comm" 2>/dev/null)" = "$1" ]; then
		echo "${dir#/proc/}"
		found=0
	fi
done
exit $found
`

func text(s string) testenv.File { return testenv.File{Data: []byte(s), Mode: 0o644} }

// build builds a program of a directory here.
func build(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

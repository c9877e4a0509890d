// Package docker drives the built shim with a real dockerd and its client.
package docker

import (
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// image is the guest "multi" as users would build it.
const image = "multi"

const dockerfile = `FROM scratch
COPY multi.wasm /multi.wasm
COPY private.wasm /private.wasm
COPY multi.wasm /bin/tool
WORKDIR /work
ENTRYPOINT ["/multi.wasm"]
`

// TestDocker runs everything on one dockerd: each subtest is one thing that
// users do with containers.
func TestDocker(t *testing.T) {
	d := testenv.StartDocker(t)
	var guests testenv.Guests
	multi := guests.Build(t, "multi", testenv.Wasm)
	files := map[string]testenv.File{
		"multi.wasm":   {Data: multi},
		"private.wasm": {Data: multi, Mode: 0o600},
	}
	d.Build(t, image, dockerfile, files)
	d.Build(t, image+":wasip1", dockerfile, files, "--platform", "wasip1/wasm")
	d.Build(t, image+":wasi", dockerfile, files, "--platform", "wasi/wasm")
	d.Build(t, image+":healthy", dockerfile+
		"HEALTHCHECK --interval=1s --timeout=20s CMD [\"/multi.wasm\", \"exit\", \"0\"]\n", files)
	d.Build(t, image+":sick", dockerfile+
		"HEALTHCHECK --interval=1s --timeout=20s --retries=1 CMD [\"/multi.wasm\", \"exit\", \"1\"]\n", files)
	d.Build(t, "relative", "FROM scratch\nCOPY relative.wasm /bin/relative.wasm\nWORKDIR /work\nENTRYPOINT [\"/bin/relative.wasm\"]\n",
		map[string]testenv.File{"relative.wasm": {Data: guests.Build(t, "relative", testenv.Wasm)}})
	d.Build(t, "server", "FROM scratch\nCOPY server /server\nENTRYPOINT [\"/server\"]\n",
		map[string]testenv.File{"server": {Data: guests.Build(t, "server", testenv.Native)}})

	tests := []struct {
		name string
		run  func(*testing.T, *testenv.Docker)
	}{
		{"examples", examples},
		{"run", run},
		{"run with a platform", runPlatform},
		{"run -i", runInteractive},
		{"run -it with resize", runTTY},
		{"logs", logs},
		{"attach", attach},
		{"stop in under 2 s", stop},
		{"kill -s", kill},
		{"restart policy", restartPolicy},
		{"exec of a module", execModule},
		{"exec of what is not there", execMissing},
		{"top", top},
		{"stats", stats},
		{"pause and unpause", pause},
		{"update", update},
		{"cp", cp},
		{"-v", volumes},
		{"-w", workdir},
		{"-e", environment},
		{"-u", user},
		{"--read-only", readOnly},
		{"--tmpfs", tmpfs},
		{"--memory", memory},
		{"--cpus", cpus},
		{"--pids-limit", pidsLimit},
		{"--init", initProcess},
		{"--network", network},
		{"healthcheck", healthcheck},
		{"exit codes", exitCodes},
		{"-p of a native server", publish},
	}
	t.Run("group", func(t *testing.T) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(t, d)
			})
		}
	})
	d.Docker(t, "image", "prune", "--all", "--force")
	d.Containerd.RequireDirect(t)
}

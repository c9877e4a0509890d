// Package kubernetes runs pods with the built shim on a real cluster of one node.
package kubernetes

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

var guests testenv.Guests

// Images of the pods. Both have a world-writable /tmp.
const (
	wasmImage  = "test.local/multi-wasm:1" // the guest "multi", its entrypoint
	webImage   = "test.local/webserver:1"  // the guest "webserver"
	toolsImage = "test.local/tools:1"      // native: /toolbox, /multi, /winsize and tar
)

// cluster is a cluster and the class that the pods of a test have.
type cluster struct {
	*testenv.Cluster
	class string
}

// name is a name for an object, apart from those of pods with another class.
func (k cluster) name(base string) string { return base + "-" + k.class }

// startCluster starts a cluster with the images of the tests.
func startCluster(t *testing.T) *testenv.Cluster {
	t.Helper()
	_, busybox := testenv.Busybox(t)
	tmp := testenv.File{Dir: true, Mode: 0o777}
	return testenv.StartCluster(t,
		testenv.Image{
			Name:   testenv.PauseImage,
			Files:  map[string]testenv.File{"/pause": {Data: guests.Build(t, "pause", testenv.Native)}},
			Config: v1.ImageConfig{Entrypoint: []string{"/pause"}},
		},
		guests.Multi(t, testenv.Wasm),
		testenv.Image{
			Name:   webImage,
			Files:  map[string]testenv.File{"/webserver.wasm": {Data: guests.Build(t, "webserver", testenv.Wasm)}},
			Config: v1.ImageConfig{Entrypoint: []string{"/webserver.wasm"}},
		},
		testenv.Image{
			Name: toolsImage,
			Files: map[string]testenv.File{
				"/toolbox": {Data: guests.Build(t, "toolbox", testenv.Native)},
				"/multi":   {Data: guests.Build(t, "multi", testenv.Native)},
				"/winsize": {Data: guests.Build(t, "winsize", testenv.Native)},
				"/bin/tar": {Data: busybox},
				"/tmp":     tmp,
			},
			Config: v1.ImageConfig{Entrypoint: []string{"/toolbox"}},
		})
}

// spec fills in a pod's specification: the class, and the images for the
// words WASM and TOOLS. Their names have a tag, so the kubelet does not pull them.
func (k cluster) spec(yaml string) string {
	return "runtimeClassName: " + k.class + "\n" + fill(yaml)
}

func fill(yaml string) string {
	return strings.NewReplacer(
		"WASM", `"`+wasmImage+`"`, "SERVER", `"`+webImage+`"`, "TOOLS", `"`+toolsImage+`"`).Replace(yaml)
}

// pod starts a pod of a test.
func (k cluster) pod(t *testing.T, yaml string) *testenv.LivePod {
	t.Helper()
	return k.StartPod(t, k.spec(yaml))
}

// TestPods runs everything on one cluster: each subtest is one thing that users
// do with pods.
func TestPods(t *testing.T) {
	shared := startCluster(t)
	t.Run("podsandbox", func(t *testing.T) { pods(t, cluster{shared, testenv.RuntimeClass}) })
	t.Run("sandboxer", func(t *testing.T) { pods(t, cluster{shared, testenv.SandboxedClass}) })
	shared.Containerd.RequireDirect(t, byRunc...)
}

// byRunc are the reasons why runc makes a container of these pods.
var byRunc = []string{"uidMappings"} // hostUsers: false

func pods(t *testing.T, k cluster) {
	t.Run("ready", func(t *testing.T) { ready(t, k) })
	t.Run("termination", func(t *testing.T) { termination(t, k) })
	tests := []struct {
		name string
		run  func(*testing.T, cluster)
	}{
		{"stats", stats}, // the longest, with the next
		{"servers in every language", languages},
		{"logs", logs},
		{"logs --previous", previousLogs},
		{"logs of a burst", manyLogs},
		{"grace period", gracePeriod},
		{"exec", execModule},
		{"exec -it", execTTY},
		{"exec in a terminal that changes its size", execResize},
		{"cp", copyFiles},
		{"attach", attach},
		{"sandbox", sandbox},
		{"port-forward", portForward},
		{"exec probes", execProbes},
		{"http probes", httpProbes},
		{"tcp probe", tcpProbe},
		{"init containers", initContainers},
		{"restartable sidecar", restartableSidecar},
		{"deployment", deployment},
		{"job", job},
		{"failed job", failedJob},
		{"cronjob", cronJob},
		{"service", service},
		{"service of a guest", wasmService},
		{"port that is in use", usedPort},
		{"artifact", artifact},
		{"limits", limits},
		{"OOMKilled", oomKilled},
		{"CPU limit", cpuLimit},
		{"emptyDir and tmpfs", emptyDirs},
		{"configMap", configMap},
		{"secret and projected token", secretsAndTokens},
		{"serviceAccount", serviceAccount},
		{"subPath", subPaths},
		{"hostPath and read-only mounts", hostPath},
		{"downward API", downwardAPI},
		{"securityContext", securityContext},
		{"namespaces", namespaces},
		{"shareProcessNamespace", shareProcessNamespace},
		{"hostNetwork", hostNetwork},
		{"hostUsers false", hostUsers},
		{"resize", resize},
		{"hooks", hooks},
		{"debug container", debugContainer},
		{"termination message", terminationMessage},
		{"program that is not there", notFound},
		{"files of the pod", files},
		{"beside a normal pod", neighbours},
		{"systemd", scopes},
	}
	t.Run("group", func(t *testing.T) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(t, k)
			})
		}
	})
	t.Run("100 pods", func(t *testing.T) { hundred(t, k) })
}

package testenv

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
)

// cniPlugins is where Debian's containernetworking-plugins are.
const cniPlugins = "/usr/lib/cni"

// PauseImage is the one of sandbox containers; tests have to give it to StartCluster.
const PauseImage = "test.local/pause:1"

// Tokens of the API server's users. Nobody else is in its network namespace.
const (
	adminToken   = "admin-token"
	kubeletToken = "kubelet-token"
)

// criConfig configures a containerd for the kubelet so that it keeps to dir. Our
// shim is there in both ways of making pods, and runc is the default.
func criConfig(dir string) string {
	return isolated.CRIConfig(dir, 3) + fmt.Sprintf(`[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "%[2]s"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "%[1]s/k/hosts"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true # where CAP_SYS_RESOURCE is missing nothing may lower it
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["%[3]s"]
    conf_dir = "%[1]s/k/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "%[5]s"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.%[6]s]
      runtime_type = "%[4]s"
      pod_annotations = ["%[4]s.*", "%[4]s.*/*", "run.oci.handler", "module.wasm.image/*"]
      container_annotations = ["%[4]s.*", "run.oci.handler", "module.wasm.image/*"]
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.%[7]s]
      runtime_type = "%[4]s"
      sandboxer = "shim"
      pod_annotations = ["%[4]s.*", "%[4]s.*/*", "run.oci.handler", "module.wasm.image/*"]
      container_annotations = ["%[4]s.*", "run.oci.handler", "module.wasm.image/*"]
`, dir, PauseImage, cniPlugins, Runtime, RuncRuntime, RuntimeClass, SandboxedClass) + systemdOptions()
}

// writeFiles writes the configuration of all daemons.
func (k *Cluster) writeFiles(t testing.TB) {
	t.Helper()
	key, public := serviceAccountKey(t)
	for _, dir := range []string{"cni", "shadow"} {
		if err := os.MkdirAll(k.file(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"cni/10-pods.conflist": cniConfig,
		"sa.key":               key,
		"sa.pub":               public,
		"tokens.csv": adminToken + `,admin,admin,"system:masters"` + "\n" +
			kubeletToken + ",system:node:" + Node + `,kubelet,"system:masters"` + "\n",
		"admin.kubeconfig":   kubeconfig(adminToken),
		"kubelet.kubeconfig": kubeconfig(kubeletToken),
		"kubelet.yaml":       fmt.Sprintf(kubeletConfig, k.cgroupRoot(), k.Containerd.Address(), k.dir),
		"run-kubelet":        fmt.Sprintf(runKubelet, k.file("shadow")),
	} {
		if err := os.WriteFile(k.file(name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// serviceAccountKey makes the key pair, as PEM, that signs tokens of pods.
func serviceAccountKey(t testing.TB) (private, public string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func kubeconfig(token string) string {
	return `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "` + APIServer + `", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: ` + token + `}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`
}

const cniConfig = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "` + bridge + `", "isGateway": true, "hairpinMode": true, "ipam":
    {"type": "host-local", "ranges": [[{"subnet": "` + podCIDR + `", "rangeStart": "10.244.0.10"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false # 1.35 and newer refuse it otherwise
cgroupDriver: cgroupfs # containerd tells it when it is systemd
cgroupRoot: /%[1]s
containerRuntimeEndpoint: unix://%[2]s
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
failSwapOn: false
makeIPTablesUtilChains: false
resolvConf: ""
clusterDNS: [10.96.0.10] # there is none, but pods could ask for it
maxPods: 250
evictionHard: {}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 5s
syncFrequency: 5s
volumePluginDir: %[3]s/plugins
`

// runKubelet starts the kubelet where sysctls of the machine that it insists on
// are covered by files. Containers must not be in that mount namespace: a user
// namespace may mount proc only where nothing of it is covered.
const runKubelet = `#!/bin/sh
mount --make-rprivate /proc || exit 1
for f in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1; do
	shadow=%[1]s/$(basename "${f%%=*}")
	echo "${f#*=}" > "$shadow"
	mount --bind "$shadow" "/proc/sys/${f%%=*}" || exit 1
done
exec "$@"
`

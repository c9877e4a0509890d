package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// tmpfsMagic is the type that statfs returns for a tmpfs.
const tmpfsMagic = "1021994"

func emptyDirs(t *testing.T, k cluster) {
	const mounts = `[{name: disk, mountPath: /disk}, {name: memory, mountPath: /memory}]`
	p := k.pod(t, `
volumes: [{name: disk, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory, sizeLimit: 8Mi}}]
containers:
- {name: app, image: WASM, args: [sleep], volumeMounts: `+mounts+`}
- {name: tools, image: TOOLS, command: [/multi, sleep], volumeMounts: `+mounts+`}
`)
	p.Ready(t)
	for _, dir := range []string{"/disk", "/memory"} {
		p.Output(t, "app", "/multi.wasm", "write", dir+"/file", "from the guest")
		if got := p.Output(t, "tools", "/multi", "read", dir+"/file"); got != "from the guest\n" {
			t.Errorf("%s: the sidecar reads %q", dir, got)
		}
	}
	if got := p.Output(t, "tools", "/toolbox", "fs", "/memory"); got != fmt.Sprintf("%s %d\n", tmpfsMagic, 8<<20) {
		t.Errorf("the volume in memory is %q", got)
	}
}

// configMap is a volume whose files change while the pod runs, atomically.
func configMap(t *testing.T, k cluster) {
	const path = "/api/v1/namespaces/default/configmaps"
	name := k.name("live")
	k.Create(t, path, "{apiVersion: v1, kind: ConfigMap, metadata: {name: "+name+"}, data: {key: before}}")
	p := k.pod(t, `
volumes: [{name: config, configMap: {name: `+name+`}}]
containers:
- name: app
  image: WASM
  args: [sleep]
  env: [{name: KEY, valueFrom: {configMapKeyRef: {name: `+name+`, key: key}}}]
  volumeMounts: [{name: config, mountPath: /config}, {name: config, mountPath: /single, subPath: key}]
`)
	p.Ready(t)
	if got := p.Output(t, "app", "/multi.wasm", "read", "/config/key"); got != "before" {
		t.Errorf("the guest reads %q", got)
	}
	if got := p.Output(t, "app", "/multi.wasm", "env"); !strings.Contains(got, "KEY=before\n") {
		t.Errorf("the guest's environment is %q", got)
	}
	k.Patch(t, path+"/"+name, `{"data": {"key": "after"}}`)
	testenv.Eventually(t, "change of the file", func() error {
		if got := p.Output(t, "app", "/multi.wasm", "read", "/config/key"); got != "after" {
			return fmt.Errorf("the guest reads %q", got)
		}
		return nil
	})
	if got := p.Output(t, "app", "/multi.wasm", "read", "/single"); got != "before" {
		t.Errorf("from the file mounted by subPath, which never changes, the guest reads %q", got)
	}
}

func secretsAndTokens(t *testing.T, k cluster) {
	name := k.name("hidden")
	k.Create(t, "/api/v1/namespaces/default/secrets",
		"{apiVersion: v1, kind: Secret, metadata: {name: "+name+"}, stringData: {password: topsecret}}")
	p := k.pod(t, `
volumes:
- {name: secret, secret: {secretName: `+name+`, defaultMode: 0400}}
- name: all
  projected:
    sources:
    - {serviceAccountToken: {path: token, audience: tests, expirationSeconds: 600}}
    - {secret: {name: `+name+`, items: [{key: password, path: deep/word}]}}
containers:
- {name: app, image: WASM, args: [sleep], volumeMounts: [{name: secret, mountPath: /secret}, {name: all, mountPath: /all}]}
`)
	p.Ready(t)
	for _, file := range []string{"/secret/password", "/all/deep/word"} {
		if got := p.Output(t, "app", "/multi.wasm", "read", file); got != "topsecret" {
			t.Errorf("the guest reads %q in %s", got, file)
		}
	}
	if got := p.Output(t, "app", "/multi.wasm", "read", "/all/token"); strings.Count(got, ".") != 2 {
		t.Errorf("the projected token is %q", got)
	}
}

// serviceAccount reads the credentials that every pod gets and uses them.
func serviceAccount(t *testing.T, k cluster) {
	name := k.name("robot")
	k.Create(t, "/api/v1/namespaces/default/serviceaccounts", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: "+name+"}}")
	p := k.pod(t, `
serviceAccountName: `+name+`
containers:
- {name: app, image: WASM, args: [sleep]}
`)
	p.Ready(t)
	const dir = "/var/run/secrets/kubernetes.io/serviceaccount/"
	if got := p.Output(t, "app", "/multi.wasm", "read", dir+"namespace"); got != "default" {
		t.Errorf("the namespace is %q", got)
	}
	if got := p.Output(t, "app", "/multi.wasm", "read", dir+"ca.crt"); !strings.HasPrefix(got, "-----BEGIN CERTIFICATE-----") {
		t.Errorf("the certificate is %q", got)
	}
	token := p.Output(t, "app", "/multi.wasm", "read", dir+"token")
	who := k.Kubectl(t, "--kubeconfig=/dev/null", "--server="+testenv.APIServer, "--insecure-skip-tls-verify", "--token="+token, "auth", "whoami")
	if !strings.Contains(who, "system:serviceaccount:default:"+name) {
		t.Errorf("with its token the pod is %q", who)
	}
}

func subPaths(t *testing.T, k cluster) {
	p := k.pod(t, `
volumes: [{name: disk, emptyDir: {}}]
initContainers:
- {name: fill, image: WASM, args: [write, /sub/file, inside], volumeMounts: [{name: disk, mountPath: /sub, subPath: a/b}]}
containers:
- {name: app, image: WASM, args: [sleep], volumeMounts: [{name: disk, mountPath: /all}, {name: disk, mountPath: /one, subPath: a/b/file}]}
`)
	p.Ready(t)
	for _, file := range []string{"/all/a/b/file", "/one"} {
		if got := p.Output(t, "app", "/multi.wasm", "read", file); got != "inside\n" {
			t.Errorf("the guest reads %q in %s", got, file)
		}
	}
}

// hostPath shares a directory of the node, with another mount below it.
func hostPath(t *testing.T, k cluster) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", below, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(below, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte("from the node"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := k.pod(t, `
volumes: [{name: node, hostPath: {path: "`+dir+`", type: Directory}}]
containers:
- name: app
  image: WASM
  args: [sleep]
  volumeMounts:
  - {name: node, mountPath: /rw}
  - {name: node, mountPath: /ro, readOnly: true}
  - {name: node, mountPath: /rro, readOnly: true, recursiveReadOnly: Enabled}
`)
	p.Ready(t)
	if got := p.Output(t, "app", "/multi.wasm", "read", "/rw/in"); got != "from the node" {
		t.Errorf("the guest reads %q", got)
	}
	for path, writable := range map[string]bool{
		"/rw/out": true, "/rw/below/out": true,
		"/ro/out2": false, "/ro/below/out2": true, // only the mount itself is read-only
		"/rro/out3": false, "/rro/below/out3": false,
	} {
		r := p.Exec(t, "app", "/multi.wasm", "write", path, "from the guest")
		if (r.Status == 0) != writable {
			t.Errorf("write to %s: %+v", path, r)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "out")); err != nil || string(data) != "from the guest\n" {
		t.Errorf("the node reads %q (%v)", data, err)
	}
}

func downwardAPI(t *testing.T, k cluster) {
	name := k.name("downward")
	p := k.StartNamedPod(t, name, "labels: {colour: green}", k.spec(`
volumes: [{name: info, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}]
containers:
- name: app
  image: WASM
  args: [sleep]
  resources: {limits: {memory: 128Mi}}
  volumeMounts: [{name: info, mountPath: /info}]
  env:
  - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
`))
	pod := p.Ready(t)
	env := p.Output(t, "app", "/multi.wasm", "env")
	for _, want := range []string{"POD=" + name, "IP=" + pod.Status.PodIP, "NODE=" + testenv.Node, fmt.Sprintf("MEMORY=%d", 128<<20)} {
		if !strings.Contains(env, want+"\n") {
			t.Errorf("%s is not in the guest's environment:\n%s", want, env)
		}
	}
	if got := p.Output(t, "app", "/multi.wasm", "read", "/info/labels"); got != `colour="green"` {
		t.Errorf("the labels are %q", got)
	}
}

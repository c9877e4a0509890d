package profiles

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/isolated"
	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestDocker: with AppArmor, dockerd asks for a profile of its own for every container that
// is not privileged. Those go direct all the same.
func TestDocker(t *testing.T) {
	d := testenv.StartDocker(t)
	d.Containerd.Import(t, witness(t))
	name := witness(t).Name
	const dockers = "docker-default"
	t.Cleanup(func() { unload(t, dockers) })
	for _, x := range []struct{ name, label, option string }{
		{"default", enforced(dockers), "no-new-privileges"},
		{"unconfined", "unconfined", "apparmor=unconfined"},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := d.RunDetached(t, "--security-opt", x.option, name, "read", "/public/file", "wait")
			c.WaitLog(t, "waiting")
			if got := c.Logs(t).Stdout; got != "read /public/file: \"public\n\"\nwaiting\n" {
				t.Errorf("output is %q", got)
			}
			pid, err := strconv.Atoi(c.Pid(t))
			must(t, err)
			requireLabel(t, uint32(pid), x.label)
			requireDirect(t, d.Containerd, c.Inspect(t, "{{.Id}}"))
			if got := d.Docker(t, "exec", c.Name, module, "read", "/secret/file"); got != "read /secret/file: \"secret\n\"" {
				t.Errorf("an exec says %q", got)
			}
			d.Docker(t, "stop", c.Name)
			if got := c.Inspect(t, "{{.State.ExitCode}}"); got != "143" {
				t.Errorf("exit status is %s", got)
			}
		})
	}
}

// criPlugin configures pods of our shim without pause containers.
const criPlugin = `[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "%[3]s" # one that is there; nothing is made of it
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    conf_dir = "%[1]s/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.wazero]
    runtime_type = "%[2]s"
    sandboxer = "shim"
`

// hostNetwork is NamespaceMode NODE of the CRI: it needs no plugin.
const hostNetwork = 2

// SecurityProfile.ProfileType of the CRI.
const (
	runtimeDefault = 0
	unconfined     = 1
	localhost      = 2
)

type object map[string]any

// TestPods: what a kubelet asks for with each kind of profile that pods can have, of which
// the runtime's is the default one.
func TestPods(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	c.Stop()
	must(t, os.WriteFile(filepath.Join(c.Dir, "config.toml"), fmt.Appendf([]byte(isolated.CRIConfig(c.Dir, 3)), criPlugin, c.Dir, testenv.Runtime, witness(t).Name), 0o600))
	must(t, isolated.MakeCgroups(c.Namespace))
	c.Start(t)
	crictl := c.Crictl(t)
	crictl.Ready(t)
	archive := filepath.Join(t.TempDir(), "image.tar")
	must(t, witness(t).WriteArchive(archive))
	c.Ctr(t, "--namespace", "k8s.io", "images", "import", "--platform", witness(t).OSArch(), archive)

	const cris, own = "cri-containerd.apparmor.d", "wazero-test-pod"
	load(t, own, "file, network, signal, unix, deny /secret/** rwklx,")
	t.Cleanup(func() { unload(t, cris) })
	pod := testenv.Request(t, object{
		"metadata": object{"name": "pod", "namespace": "default", "uid": "uid"}, "log_directory": t.TempDir(),
		"linux": object{"cgroup_parent": "/" + c.Namespace, "security_context": object{"namespace_options": object{"network": hostNetwork}}},
	})
	id := crictl.Do(t, "runp", "--runtime", "wazero", pod)
	t.Cleanup(func() { crictl.Do(t, "rmp", "--force", id) })
	for _, x := range []struct {
		name, label, secret string
		profile             object
	}{
		{"runtime-default", enforced(cris), "\"secret\n\"", object{"profile_type": runtimeDefault}},
		{"localhost", enforced(own), "Permission denied", object{"profile_type": localhost, "localhost_ref": own}},
		{"unconfined", "unconfined", "\"secret\n\"", object{"profile_type": unconfined}},
	} {
		t.Run(x.name, func(t *testing.T) {
			name := witness(t).Name
			container := crictl.Do(t, "create", "--no-pull", id, testenv.Request(t, object{
				"metadata": object{"name": x.name}, "image": object{"image": name, "user_specified_image": name},
				"args": []string{"read", "/public/file", "wait"}, "log_path": x.name + ".log",
				"linux": object{"security_context": object{"apparmor": x.profile}},
			}), pod)
			crictl.Do(t, "start", container)
			testenv.Eventually(t, "output", func() error {
				if out := crictl.Do(t, "logs", container); out != "read /public/file: \"public\n\"\nwaiting" {
					return fmt.Errorf("it is %q", out)
				}
				return nil
			})
			requireLabel(t, pidOf(t, crictl, container), x.label)
			requireDirect(t, c, container)
			if got, want := crictl.Do(t, "exec", "--sync", container, module, "read", "/secret/file"), "read /secret/file: "+x.secret; got != want {
				t.Errorf("an exec says %q, want %q", got, want)
			}
			crictl.Do(t, "rm", "--force", container)
		})
	}
}

// pidOf is a container's first process.
func pidOf(t *testing.T, crictl *testenv.Crictl, container string) uint32 {
	t.Helper()
	var s struct{ Info struct{ Pid uint32 } }
	must(t, json.Unmarshal([]byte(crictl.Do(t, "inspect", container)), &s))
	return s.Info.Pid
}

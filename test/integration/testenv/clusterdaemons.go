package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// daemon is one of the programs of a cluster.
type daemon struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended
}

func (d *daemon) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// output is the daemon's log so far.
func (d *daemon) output() string {
	data, _ := os.ReadFile(d.log)
	return string(data)
}

// end ends the daemon by a signal and waits for that; after five seconds it is
// killed.
func (d *daemon) end(sig syscall.Signal) {
	_ = d.cmd.Process.Signal(sig)
	select {
	case <-d.done:
	case <-time.After(Slow(5 * time.Second)):
		_ = d.cmd.Process.Kill()
		<-d.done
	}
}

// run starts one of the cluster's daemons, in place of one of the same name.
func (k *Cluster) run(t testing.TB, name, program string, args ...string) {
	t.Helper()
	d := &daemon{name: name, log: k.file(name + ".log"), done: make(chan struct{})}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(program, args...)
	d.cmd.Env = k.Containerd.environ()
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { defer close(d.done); _ = d.cmd.Wait() }()
	for i, old := range k.daemons {
		if old.name == name {
			k.daemons[i] = d
			return
		}
	}
	k.daemons = append(k.daemons, d)
}

func (k *Cluster) startControlPlane(t testing.TB, etcd string) {
	t.Helper()
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	k.run(t, "etcd", etcd, "--name", "e", "--data-dir", k.file("etcd"), "--unsafe-no-fsync",
		"--logger", "zap", "--log-level", "warn",
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer)
	k.run(t, "kube-apiserver", filepath.Join(k.bin, "kube-apiserver"),
		"--etcd-servers="+client, "--secure-port=6443", "--bind-address=0.0.0.0", "--advertise-address="+NodeIP,
		"--cert-dir="+k.file("pki"), "--service-cluster-ip-range=10.96.0.0/24",
		"--authorization-mode=RBAC", "--token-auth-file="+k.file("tokens.csv"),
		"--service-account-key-file="+k.file("sa.pub"), "--service-account-signing-key-file="+k.file("sa.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		// The node's name cannot be looked up.
		"--kubelet-preferred-address-types=InternalIP",
		"--allow-privileged=true", "--enable-priority-and-fairness=false")
}

func (k *Cluster) startControllers(t testing.TB) {
	t.Helper()
	k.run(t, "kube-scheduler", filepath.Join(k.bin, "kube-scheduler"),
		"--kubeconfig="+k.file("admin.kubeconfig"), "--leader-elect=false",
		"--cert-dir="+k.file("pki-scheduler"), "--authentication-skip-lookup=true")
	k.run(t, "kube-controller-manager", filepath.Join(k.bin, "kube-controller-manager"),
		"--kubeconfig="+k.file("admin.kubeconfig"), "--leader-elect=false",
		"--cert-dir="+k.file("pki-controllers"), "--authentication-skip-lookup=true",
		"--service-account-private-key-file="+k.file("sa.key"), "--root-ca-file="+k.file("pki/apiserver.crt"),
		"--cluster-cidr="+podCIDR, "--allocate-node-cidrs=false")
}

// StartKubelet starts the kubelet, for the first time or again.
func (k *Cluster) StartKubelet(t testing.TB) {
	t.Helper()
	k.run(t, "kubelet", "unshare", "--mount", "--propagation", "unchanged", k.file("run-kubelet"),
		filepath.Join(k.bin, "kubelet"), "--config="+k.file("kubelet.yaml"), "--kubeconfig="+k.file("kubelet.kubeconfig"),
		"--hostname-override="+Node, "--node-ip="+NodeIP, "--cert-dir="+k.file("pki-kubelet"), "--v=2")
}

// KillKubelet ends the kubelet by SIGKILL. Pods live on.
func (k *Cluster) KillKubelet() {
	for _, d := range k.daemons {
		if d.name == "kubelet" {
			d.end(syscall.SIGKILL)
		}
	}
}

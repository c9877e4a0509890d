package docker

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

func volumes(t *testing.T, d *testenv.Docker) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	requireOutput(t, d, "from the host\n", "-v", dir+":/data", image, "read", "/data/file")
	requireOutput(t, d, "", "-v", dir+":/data", image, "write", "/data/new", "from the guest")
	if data, err := os.ReadFile(filepath.Join(dir, "new")); err != nil || string(data) != "from the guest\n" {
		t.Errorf("the host reads %q, %v", data, err)
	}
	requireOutput(t, d, "from the host\n", "-v", dir+":/data:ro", image, "read", "/data/file")
	r := runOnce(t, d, "", "-v", dir+":/data:ro", image, "write", "/data/other", "x")
	if r.Status != 1 || !strings.Contains(strings.ToLower(r.Stderr), "read-only file system") {
		t.Errorf("write into a read-only volume: %+v", r)
	}
}

func workdir(t *testing.T, d *testenv.Docker) {
	requireOutput(t, d, "/work\n", "relative")
	requireOutput(t, d, "/bin\nrelative.wasm\n", "-w", "/bin", "relative")
}

func environment(t *testing.T, d *testenv.Docker) {
	r := runOnce(t, d, "", "-e", "GREETING=good morning", "-e", "EMPTY=", image, "env")
	for _, want := range []string{"GREETING=good morning\n", "EMPTY=\n", "PATH=/", "HOSTNAME="} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("no %q in the environment:\n%s%s", want, r.Stdout, r.Stderr)
		}
	}
	if strings.Contains(r.Stdout, "WAZERO_SHIM") {
		t.Errorf("the guest sees variables of the shim:\n%s", r.Stdout)
	}
}

func user(t *testing.T, d *testenv.Docker) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	// The directories above belong to root.
	for up := filepath.Dir(dir); up != "/" && up != os.TempDir(); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	requireOutput(t, d, "", "-u", "1234:4321", "-v", dir+":/data", image, "write", "/data/new", "mine")
	info, err := os.Stat(filepath.Join(dir, "new"))
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 1234 || st.Gid != 4321 {
		t.Errorf("the file belongs to %d:%d", st.Uid, st.Gid)
	}
	r := runOnce(t, d, "", "-u", "1234:4321", image, "write", "/new", "not mine")
	if r.Status != 1 || !strings.Contains(strings.ToLower(r.Stderr), "permission denied") {
		t.Errorf("write into root's directory: %+v", r)
	}
}

func readOnly(t *testing.T, d *testenv.Docker) {
	r := runOnce(t, d, "", "--read-only", image, "write", "/new", "x")
	if r.Status != 1 || !strings.Contains(strings.ToLower(r.Stderr), "read-only file system") {
		t.Errorf("write into a read-only root: %+v", r)
	}
}

func tmpfs(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "--read-only", "--tmpfs", "/scratch", image, "sleep")
	if r := d.Do(t, "", "exec", c.Name, "/multi.wasm", "write", "/scratch/x", "kept in memory"); r.Status != 0 {
		t.Fatalf("write into a tmpfs: %+v", r)
	}
	if r := d.Do(t, "", "exec", c.Name, "/multi.wasm", "read", "/scratch/x"); r.Stdout != "kept in memory\n" {
		t.Errorf("read from a tmpfs: %+v", r)
	}
}

func initProcess(t *testing.T, d *testenv.Docker) {
	requireOutput(t, d, "with init\n", "--init", image, "echo", "with init")
}

func network(t *testing.T, d *testenv.Docker) {
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(t *testing.T, pid, links string){
		"none": func(t *testing.T, _, links string) {
			if strings.Contains(links, "eth0") {
				t.Errorf("there is an interface:\n%s", links)
			}
		},
		"bridge": func(t *testing.T, _, links string) {
			if !strings.Contains(links, "eth0") || !strings.Contains(links, "10.213.0.") {
				t.Errorf("Docker's interface is not there:\n%s", links)
			}
		},
		"host": func(t *testing.T, pid, _ string) {
			if its, err := os.Readlink("/proc/" + pid + "/ns/net"); err != nil || its != ours {
				t.Errorf("network namespace is %s, the host's is %s (%v)", its, ours, err)
			}
		},
	}
	for mode, check := range tests {
		t.Run(mode, func(t *testing.T) {
			c := d.RunDetached(t, "--network", mode, image, "sleep")
			c.WaitLog(t, "sleeping")
			pid := c.Pid(t)
			links, err := exec.Command("nsenter", "--target", pid, "--net", "ip", "-oneline", "address").CombinedOutput()
			if err != nil {
				t.Fatalf("ip: %v: %s", err, links)
			}
			check(t, pid, string(links))
		})
	}
}

func publish(t *testing.T, d *testenv.Docker) {
	c := d.RunDetached(t, "-p", "127.0.0.1::8080", "server")
	c.WaitLog(t, "listening")
	addr := d.Docker(t, "port", c.Name, "8080/tcp")
	testenv.Eventually(t, "answer on "+addr, func() error {
		conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || line != "hello from the server\n" {
			return fmt.Errorf("it says %q (%v)", line, err)
		}
		return nil
	})
	begin := time.Now()
	d.Docker(t, "stop", c.Name)
	if took := time.Since(begin); took > testenv.Slow(8*time.Second) { // Docker would kill after 10
		t.Errorf("docker stop of a native server took %s", took)
	}
	if got := c.Inspect(t, "{{.State.ExitCode}}"); got != "0" {
		t.Errorf("a native server that handles SIGTERM exits with %s", got)
	}
}

package testenv

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// APIServer is the URL of the API server, in the tests' own network namespace.
const APIServer = "https://127.0.0.1:6443"

// apiClient talks to the API server as its administrator.
type apiClient struct {
	once sync.Once
	http http.Client
}

// get decodes the object at a path into v, if v is not nil.
func (a *apiClient) get(path string, v any) error { return a.send("GET", path, "", v) }

// send sends YAML and decodes the answer into v, if v is not nil. A body of a
// PATCH is a merge patch in JSON.
func (a *apiClient) send(method, path, body string, v any) error {
	data, err := a.do(method, path, body)
	if err != nil || v == nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// do sends a request and returns the body of the answer.
func (a *apiClient) do(method, path, body string) ([]byte, error) {
	a.once.Do(func() {
		a.http.Timeout = limit
		a.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 8, ForceAttemptHTTP2: true}
	})
	req, err := http.NewRequest(method, APIServer+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Content-Type", "application/yaml")
	if method == "PATCH" {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, &apiError{fmt.Sprintf("%s %s: %s: %s", method, path, resp.Status, data), resp.StatusCode}
	}
	return data, nil
}

type apiError struct {
	text   string
	status int
}

func (e *apiError) Error() string { return e.text }

// Get decodes an object of the API into v.
func (k *Cluster) Get(t testing.TB, path string, v any) {
	t.Helper()
	if err := k.api.get(path, v); err != nil {
		t.Fatal(err)
	}
}

// Read returns what a path of the API answers, which may lead into a pod.
func (k *Cluster) Read(path string) (string, error) {
	data, err := k.api.do("GET", path, "")
	return string(data), err
}

// Patch changes an object by a merge patch in JSON.
func (k *Cluster) Patch(t testing.TB, path, patch string) {
	t.Helper()
	if err := k.api.send("PATCH", path, patch, nil); err != nil {
		t.Fatal(err)
	}
}

// Create posts an object in YAML to a collection of the API. When the test ends it
// deletes it, and waits until it and what it owns have gone.
func (k *Cluster) Create(t testing.TB, collection, yaml string) {
	t.Helper()
	var made struct{ Metadata Metadata }
	if err := k.api.send("POST", collection, yaml, &made); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		path := collection + "/" + made.Metadata.Name
		if err := k.api.send("DELETE", path, "propagationPolicy: Foreground", nil); err != nil && !isNotFound(err) {
			t.Errorf("delete: %v", err)
		}
		Eventually(t, "end of "+path, func() error {
			if err := k.api.get(path, nil); !isNotFound(err) {
				return fmt.Errorf("it is still there (%v)", err)
			}
			return nil
		})
	})
}

func isNotFound(err error) bool {
	e, ok := err.(*apiError)
	return ok && e.status == http.StatusNotFound
}

// createClasses makes the RuntimeClasses of our shim.
func (k *Cluster) createClasses(t testing.TB) {
	t.Helper()
	for _, name := range []string{RuntimeClass, SandboxedClass} {
		err := k.api.send("POST", "/apis/node.k8s.io/v1/runtimeclasses",
			"{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: "+name+"}, handler: "+name+"}", nil)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// KubectlCommand is kubectl with arguments, not started yet.
func (k *Cluster) KubectlCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(k.bin, "kubectl"), append([]string{"--kubeconfig", k.file("admin.kubeconfig")}, args...)...)
	cmd.Env = k.Containerd.environ()
	return cmd
}

// KubectlDo runs kubectl for at most a minute, whatever its exit status.
func (k *Cluster) KubectlDo(t testing.TB, stdin string, args ...string) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := k.KubectlCommand(args...)
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := runFor(Slow(time.Minute), cmd)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Kubectl runs kubectl and returns its output; an error fails the test.
func (k *Cluster) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	r := k.KubectlDo(t, "", args...)
	if r.Status != 0 {
		t.Fatalf("kubectl %s: %+v", strings.Join(args, " "), r)
	}
	return r.Stdout
}

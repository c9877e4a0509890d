package artifact

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/platforms"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// node is a containerd that pulls from a registry.
type node struct {
	*testenv.Containerd
	registry *registry
	hosts    string
}

func start(t *testing.T, version string) *node {
	t.Helper()
	n := &node{Containerd: testenv.StartContainerd(t, version), registry: serve(t)}
	n.hosts = filepath.Join(n.Dir, "hosts")
	n.registry.Hosts(t, n.hosts, host)
	return n
}

// tryPull pulls an image with ctr.
func (n *node) tryPull(name string, flags ...string) error {
	args := append([]string{"image", "pull", "--hosts-dir", n.hosts}, flags...)
	_, err := n.TryCtr(append(args, name)...)
	return err
}

func (n *node) pull(t *testing.T, name string, flags ...string) {
	t.Helper()
	if err := n.tryPull(name, flags...); err != nil {
		t.Fatal(err)
	}
}

// outcome is what a container left.
type outcome struct {
	stdout, stderr string
	status         uint32
}

// container makes a container of an image as a client does that wants no command
// of it, which the CNCF's artifact does not have.
func (n *node) container(t *testing.T, id, image, platform string, command []string, opts ...oci.SpecOpts) client.Container {
	t.Helper()
	cl, ctx := n.Client(t)
	stored, err := cl.ImageService().Get(ctx, image)
	must(t, err)
	img := client.NewImage(cl, stored)
	if platform != "" {
		p, err := platforms.Parse(platform)
		must(t, err)
		img = client.NewImageWithPlatform(cl, stored, platforms.OnlyStrict(p))
	}
	opts = append([]oci.SpecOpts{
		oci.WithDefaultSpecForPlatform(here()), oci.WithProcessArgs(command...), oci.WithCgroup("/" + n.Namespace + "/" + id),
	}, opts...)
	c, err := cl.NewContainer(ctx, id, client.WithImage(img), client.WithNewSnapshot(id, img),
		client.WithRuntime(testenv.Runtime, nil), client.WithNewSpec(opts...))
	must(t, err)
	t.Cleanup(func() {
		if err := c.Delete(ctx, client.WithSnapshotCleanup); err != nil {
			t.Errorf("delete container %s: %v", id, err)
		}
	})
	return c
}

// task makes the task of a container. The test deletes it.
func task(t *testing.T, n *node, c client.Container) (client.Task, *testenv.Buffer, *testenv.Buffer, error) {
	t.Helper()
	var stdout, stderr testenv.Buffer
	_, ctx := n.Client(t)
	k, err := c.NewTask(ctx, cio.NewCreator(cio.WithStreams(nil, &stdout, &stderr), cio.WithFIFODir(filepath.Join(n.Dir, "fifo"))))
	return k, &stdout, &stderr, err
}

// try runs a container to its end.
func (n *node) try(t *testing.T, id, image, platform string, command []string, opts ...oci.SpecOpts) (outcome, error) {
	t.Helper()
	c := n.container(t, id, image, platform, command, opts...)
	k, stdout, stderr, err := task(t, n, c)
	if err != nil {
		return outcome{}, err
	}
	_, ctx := n.Client(t)
	defer func() {
		if _, err := k.Delete(ctx, client.WithProcessKill); err != nil {
			t.Errorf("delete task %s: %v", id, err)
		}
	}()
	exit, err := k.Wait(ctx)
	must(t, err)
	if err := k.Start(ctx); err != nil {
		return outcome{}, err
	}
	status := (<-exit).ExitCode()
	k.IO().Wait()
	return outcome{stdout.String(), stderr.String(), status}, nil
}

// awaitLog waits for a line with all these texts in containerd's log, which what a shim
// says reaches a moment later.
func (n *node) awaitLog(t *testing.T, texts ...string) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("line with %q in containerd's log", texts), func() error {
		for line := range strings.Lines(n.Log()) {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
				return nil
			}
		}
		return errors.New("none has all of them")
	})
}

// run is try for what must work, and returns the output.
func (n *node) run(t *testing.T, id, image, platform string, command []string, opts ...oci.SpecOpts) string {
	t.Helper()
	o, err := n.try(t, id, image, platform, command, opts...)
	if err != nil || o.status != 0 || o.stderr != "" {
		t.Fatalf("%s %q: %+v, %v", image, command, o, err)
	}
	return o.stdout
}

// TestEveryShape pulls with ctr and runs every kind of image.
func TestEveryShape(t *testing.T) {
	for _, version := range testenv.Versions() {
		t.Run(version, func(t *testing.T) {
			n := start(t, version)
			for _, s := range shapes(t) {
				t.Run(s.name, func(t *testing.T) {
					image := n.registry.tag(s.name, n.registry.picture(t, s.picture))
					n.pull(t, image)
					commands := []string{"/"}
					if s.command != "" {
						commands = append(commands, s.command)
					}
					for i, command := range commands {
						out := n.run(t, fmt.Sprintf("%s-%d", s.name, i), image, "", []string{command, "echo", "hello", "from", s.name})
						if want := "hello from " + s.name + "\n"; out != want {
							t.Errorf("%q printed %q", command, out)
						}
					}
				})
			}
		})
	}
}

// TestCtrRun: ctr runs what has an ordinary configuration, and nothing else; that
// never reaches the shim.
func TestCtrRun(t *testing.T) {
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			n := start(t, version)
			for _, s := range shapes(t) {
				image := n.registry.tag(s.name, n.registry.picture(t, s.picture))
				n.pull(t, image)
				// Arguments replace the image's command.
				out, err := n.TryCtr("run", "--rm", "--runtime", testenv.Runtime, "--cgroup", "/"+n.Namespace+"/"+s.name,
					image, s.name, "/", "echo", "hi")
				if s.picture.configType == v1.MediaTypeImageConfig {
					if err != nil || out != "hi\n" {
						t.Errorf("%s: %q, %v", s.name, out, err)
					}
				} else if err == nil || !strings.Contains(err.Error(), "unknown image config media type") {
					t.Errorf("%s: %q, %v", s.name, out, err)
				}
			}
		})
	}
}

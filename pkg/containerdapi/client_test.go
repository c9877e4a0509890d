package containerdapi

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	contentapi "github.com/containerd/containerd/api/services/content/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The services answer in the messages of containerd's own API package, which
// shows that they are read by the right field numbers. test/integration asks
// real daemons.

type images struct {
	imagesapi.UnimplementedImagesServer
	all []*imagesapi.Image
}

func (s images) Get(ctx context.Context, r *imagesapi.GetImageRequest) (*imagesapi.GetImageResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, img := range s.all {
		if img.Name == r.GetName() && strings.Join(md.Get("containerd-namespace"), "|") == "ns" {
			return &imagesapi.GetImageResponse{Image: img}, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "image %q: not found", r.GetName())
}

func (s images) List(context.Context, *imagesapi.ListImagesRequest) (*imagesapi.ListImagesResponse, error) {
	return &imagesapi.ListImagesResponse{Images: s.all}, nil
}

type namespaces struct {
	namespacesapi.UnimplementedNamespacesServer
}

func (namespaces) List(context.Context, *namespacesapi.ListNamespacesRequest) (*namespacesapi.ListNamespacesResponse, error) {
	return &namespacesapi.ListNamespacesResponse{Namespaces: []*namespacesapi.Namespace{
		{Name: "default", Labels: map[string]string{"a": "b"}}, {Name: "k8s.io"},
	}}, nil
}

type containers struct {
	containersapi.UnimplementedContainersServer
}

func (containers) Get(_ context.Context, r *containersapi.GetContainerRequest) (*containersapi.GetContainerResponse, error) {
	if r.GetID() != "c" {
		return nil, status.Errorf(codes.NotFound, "container %q: not found", r.GetID())
	}
	return &containersapi.GetContainerResponse{Container: &containersapi.Container{
		ID: "c", Image: "i", Labels: map[string]string{"a": "b"}, Snapshotter: "s", SnapshotKey: "k", Sandbox: "p",
		Runtime: &containersapi.Container_Runtime{Name: "r"}, CreatedAt: timestamppb.Now(),
	}}, nil
}

func TestContainerIsFoundById(t *testing.T) {
	t.Parallel()
	c := serve(t, images{}, contents{})
	if got, err := c.Container(t.Context(), "c"); err != nil || got != (Container{ID: "c", Image: "i"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.Container(t.Context(), "d"); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

type contents struct {
	contentapi.UnimplementedContentServer
	blobs map[string][]byte
}

func (c contents) Read(r *contentapi.ReadContentRequest, s contentapi.Content_ReadServer) error {
	blob, ok := c.blobs[r.GetDigest()]
	if !ok {
		return status.Errorf(codes.NotFound, "content %s: not found", r.GetDigest())
	}
	for offset := 0; offset < len(blob); offset += 1 << 20 {
		m := &contentapi.ReadContentResponse{Offset: int64(offset), Data: blob[offset:min(len(blob), offset+1<<20)]}
		if r.GetDigest() == "wrong" {
			m.Offset /= 2
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T, i images, c contents) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "ca-") // paths of sockets are short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	must(t, err)
	server := grpc.NewServer()
	imagesapi.RegisterImagesServer(server, i)
	contentapi.RegisterContentServer(server, c)
	containersapi.RegisterContainersServer(server, containers{})
	namespacesapi.RegisterNamespacesServer(server, namespaces{})
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return New(socket, "ns")
}

func image(name string) *imagesapi.Image {
	return &imagesapi.Image{
		Name: name, Labels: map[string]string{"x": "y"}, CreatedAt: timestamppb.Now(), UpdatedAt: timestamppb.Now(),
		Target: &types.Descriptor{MediaType: "type", Digest: "sha256:" + name, Size: 1 << 40, Annotations: map[string]string{"k": "v"}},
	}
}

func TestImagesAreReadFromTheNamespace(t *testing.T) {
	t.Parallel()
	c := serve(t, images{all: []*imagesapi.Image{image("a"), image("b")}}, contents{})
	want := []Image{
		{"a", Descriptor{MediaType: "type", Digest: "sha256:a", Size: 1 << 40}},
		{"b", Descriptor{MediaType: "type", Digest: "sha256:b", Size: 1 << 40}},
	}
	if got, err := c.Images(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.Image(t.Context(), "b"); err != nil || got != want[1] {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.Image(t.Context(), "c"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), `"c"`) {
		t.Errorf("got %v", err)
	}
	c = New(c.rpc.Socket, "other")
	if _, err := c.Image(t.Context(), "b"); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	if got, err := c.Namespaces(t.Context()); err != nil || strings.Join(got, " ") != "default k8s.io" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestContentIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	blobs := map[string][]byte{"empty": {}, "short": []byte("x"), "long": make([]byte, 9<<20+1), "wrong": make([]byte, 3<<20)}
	for _, blob := range blobs {
		for i := 0; i+8 < len(blob); i += 1000 {
			blob[i] = byte(rand.Int())
		}
	}
	c := serve(t, images{}, contents{blobs: blobs})
	read := func(digest string) ([]byte, error) {
		r, err := c.Content(t.Context(), digest)
		must(t, err)
		defer r.Close()
		return io.ReadAll(r)
	}
	for _, digest := range []string{"empty", "short", "long"} {
		if got, err := read(digest); err != nil || !bytes.Equal(got, blobs[digest]) {
			t.Errorf("%s: %d bytes, %v", digest, len(got), err)
		}
	}
	if _, err := read("missing"); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	if _, err := read("wrong"); err == nil || !strings.Contains(err.Error(), "offset") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeImage(f *testing.F) {
	data, err := proto.Marshal(image("a"))
	must(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeImage(data)
		var want imagesapi.Image
		if proto.Unmarshal(data, &want) != nil || err != nil {
			return // the two differ in what they refuse
		}
		if got.Target.Size < 0 || len(got.Name) > len(data) {
			t.Fatalf("%+v", got)
		}
	})
}

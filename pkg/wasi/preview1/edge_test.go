package preview1

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Arguments that are in memory, of more than one byte: place is a pointer to some, text a pointer and a length,
// and vector a pointer to one iovec and their number. All other arguments are int.
type (
	place  []byte
	text   string
	vector string
)

// result is room for one of so many bytes, and buffer that with its length.
func result(size int) place { return make(place, size) }

func buffer(size int) text { return text(make([]byte, size)) }

// Descriptors of an edgeRig.
const (
	edgeDirectory = 3 + iota
	edgeStream
	edgeListener
	edgeFile
)

// atEdge are calls that succeed, of all functions that take memory.
var atEdge = []struct {
	module, name string
	args         []any
}{
	{ModuleName, "args_get", []any{result(8), result(len("guest\x00x\x00"))}},
	{ModuleName, "args_sizes_get", []any{result(4), result(4)}},
	{ModuleName, "environ_get", []any{result(8), result(len("A=b\x00C=d\x00"))}},
	{ModuleName, "environ_sizes_get", []any{result(4), result(4)}},
	{ModuleName, "clock_res_get", []any{0, result(8)}},
	{ModuleName, "clock_time_get", []any{0, 0, result(8)}},
	{ModuleName, "fd_read", []any{edgeFile, vector("0123"), result(4)}},
	{ModuleName, "fd_write", []any{edgeFile, vector("0123"), result(4)}},
	{ModuleName, "fd_pread", []any{edgeFile, vector("0123"), 0, result(4)}},
	{ModuleName, "fd_pwrite", []any{edgeFile, vector("0123"), 0, result(4)}},
	{ModuleName, "fd_seek", []any{edgeFile, 0, 0, result(8)}},
	{ModuleName, "fd_tell", []any{edgeFile, result(8)}},
	{ModuleName, "fd_fdstat_get", []any{edgeFile, result(24)}},
	{ModuleName, "fd_filestat_get", []any{edgeFile, result(64)}},
	{UnstableName, "fd_filestat_get", []any{edgeFile, result(56)}},
	{ModuleName, "fd_prestat_get", []any{edgeDirectory, result(8)}},
	{ModuleName, "fd_prestat_dir_name", []any{edgeDirectory, buffer(len("/home"))}},
	{ModuleName, "fd_readdir", []any{edgeDirectory, buffer(100), 0, result(4)}},
	{ModuleName, "path_create_directory", []any{edgeDirectory, text("new")}},
	{ModuleName, "path_filestat_get", []any{edgeDirectory, 0, text("file"), result(64)}},
	{UnstableName, "path_filestat_get", []any{edgeDirectory, 0, text("file"), result(56)}},
	{ModuleName, "path_filestat_set_times", []any{edgeDirectory, 0, text("file"), 0, 0, setAtim}},
	{ModuleName, "path_link", []any{edgeDirectory, 0, text("file"), edgeDirectory, text("new")}},
	{ModuleName, "path_open", []any{edgeDirectory, 0, text("file"), 0, int(FDRead), 0, 0, result(4)}},
	{ModuleName, "path_readlink", []any{edgeDirectory, text("link"), buffer(16), result(4)}},
	{ModuleName, "path_remove_directory", []any{edgeDirectory, text("dir")}},
	{ModuleName, "path_rename", []any{edgeDirectory, text("file"), edgeDirectory, text("new")}},
	{ModuleName, "path_symlink", []any{text("file"), edgeDirectory, text("new")}},
	{ModuleName, "path_unlink_file", []any{edgeDirectory, text("file")}},
	{ModuleName, "poll_oneoff", []any{result(subscriptionSize), result(eventSize), 1, result(4)}},
	{UnstableName, "poll_oneoff", []any{result(unstableSubscriptionSize), result(eventSize), 1, result(4)}},
	{ModuleName, "random_get", []any{buffer(16)}},
	{ModuleName, "sock_accept", []any{edgeListener, 0, result(4)}},
	{ModuleName, "sock_recv", []any{edgeStream, vector("0123"), 0, result(4), result(2)}},
	{ModuleName, "sock_send", []any{edgeStream, vector("0123"), 0, result(4)}},
}

// withoutMemory are the functions that take none.
var withoutMemory = []string{"fd_close", "fd_renumber", "fd_advise", "fd_allocate", "fd_datasync", "fd_sync", "fd_fdstat_set_flags",
	"fd_fdstat_set_rights", "fd_filestat_set_size", "fd_filestat_set_times", "proc_exit", "proc_raise", "sched_yield", "sock_shutdown"}

// edge is where memory of a size is the last that there can be.
func edge(size int) uint64 { return 1<<32 - uint64(size) }

// edgeRig is a guest with as much memory as can be, all of which may be used.
type edgeRig struct {
	*rig
	dir, socket string
	peer        int
}

func newEdgeRig(t *testing.T) *edgeRig {
	t.Helper()
	dir := t.TempDir()
	r := &edgeRig{dir: filepath.Join(dir, "home"), socket: filepath.Join(dir, "s")}
	must(t, os.Mkdir(r.dir, 0o700))
	streams := pair(t, unix.SOCK_STREAM)
	r.peer = streams[1]
	r.rig = newRig(t, Config{Args: []string{"guest", "x"}, Env: []string{"A=b", "C=d"}, Preopens: []Preopen{
		{FD: openDirectory(t, r.dir), Name: "/home"}, {FD: streams[0]}, {FD: listenUnix(t, r.socket, unix.SOCK_NONBLOCK)},
	}})
	m := r.module.Memory()
	if _, ok := m.Grow(1<<16 - m.Size()>>16); !ok {
		t.Fatal("no memory of 4 GiB")
	}
	r.furnish()
	at, size := r.path("file")
	r.expect(ESUCCESS, "path_open", edgeDirectory, 0, at, size, 0, uint64(rightsOfFile), 0, 0, r.room(4))
	return r
}

// furnish gives each call what it needs.
func (r *edgeRig) furnish() {
	r.t.Helper()
	for _, name := range []string{"file", "new", "link", "dir"} {
		must(r.t, os.RemoveAll(filepath.Join(r.dir, name)))
	}
	populate(r.t, r.dir, "file", "link -> file", "dir/")
	_, err := unix.Write(r.peer, []byte("0123"))
	must(r.t, err)
}

// edgeCall is a call with the memory number at the edge, or that many bytes beyond.
type edgeCall struct {
	*edgeRig
	edge   int
	beyond int
	// places is how much memory there was.
	places int
	args   []uint64
}

// put is rig.put, or it puts what is to be at the edge there as far as there is memory.
func (c *edgeCall) put(data []byte) uint64 {
	c.t.Helper()
	c.places++
	if c.places-1 != c.edge {
		return c.rig.put(data)
	}
	at := edge(len(data)) + uint64(c.beyond)
	if !c.module.Memory().Write(uint32(at), data[:len(data)-c.beyond]) {
		c.t.Fatal("there is no memory at the edge")
	}
	return at
}

func (c *edgeCall) add(argument any) {
	switch a := argument.(type) {
	case int:
		c.args = append(c.args, uint64(a))
	case place:
		c.args = append(c.args, c.put(a))
	case text:
		c.args = append(c.args, c.put([]byte(a)), uint64(len(a)))
	case vector:
		array := binary.LittleEndian.AppendUint32(nil, uint32(c.put([]byte(a))))
		c.args = append(c.args, c.put(binary.LittleEndian.AppendUint32(array, uint32(len(a)))), 1)
	}
}

// TestMemoryEndsWhereAddressesDo: the last byte that a guest can have is like others.
func TestMemoryEndsWhereAddressesDo(t *testing.T) {
	t.Parallel()
	r := newEdgeRig(t)
	for _, f := range atEdge {
		places := 1
		for i := 0; i < places; i++ {
			for beyond, want := range map[int]Errno{0: ESUCCESS, 1: EFAULT} {
				c := edgeCall{edgeRig: r, edge: i, beyond: beyond}
				for _, a := range f.args {
					c.add(a)
				}
				places = c.places
				if f.name == "sock_accept" {
					dialUnix(t, r.socket)
				}
				r.furnish()
				results, err := r.try(f.module, f.name, c.args...)
				where := fmt.Sprintf("%s.%s, memory %d, %d bytes beyond", f.module, f.name, i, beyond)
				if err != nil {
					message, _, _ := strings.Cut(err.Error(), "\n")
					t.Errorf("%s: %s", where, message)
				} else if got := Errno(results[0]); got != want {
					t.Errorf("%s: %d, want %d", where, got, want)
				}
			}
		}
	}
}

func TestEveryFunctionIsCalledAtTheEdge(t *testing.T) {
	t.Parallel()
	for _, f := range functions() {
		called := false
		for _, c := range atEdge {
			called = called || c.name == f.name
		}
		if called == slices.Contains(withoutMemory, f.name) {
			t.Errorf("%s: called with memory at the edge: %v", f.name, called)
		}
	}
}

// TestContentAtTheEdge: what is written is there.
func TestContentAtTheEdge(t *testing.T) {
	t.Parallel()
	r := newEdgeRig(t)
	m := memory{Memory: r.module.Memory()}
	for _, size := range []int{1, 2, 16, 1 << 17} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i*7 + 1)
		}
		r.module.Memory().Write(uint32(edge(size)), want)
		array := r.put(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(edge(size))), uint32(size)))
		n := r.room(4)
		r.expect(ESUCCESS, "fd_pwrite", edgeFile, array, 1, 0, n)
		r.module.Memory().Write(uint32(edge(size)), make([]byte, size))
		r.expect(ESUCCESS, "fd_pread", edgeFile, array, 1, 0, n)
		got, ok := m.bytes(uint32(edge(size)), uint32(size))
		if !ok || string(got) != string(want) || cap(got) != size {
			t.Errorf("%d bytes: %d of %d, %v", size, len(got), cap(got), ok)
		}
		if last, _ := r.module.Memory().ReadByte(1<<32 - 1); last != want[size-1] {
			t.Errorf("%d bytes: the last one is %d", size, last)
		}
	}
}

// TestStringsDoNotGoOnAtZero: after the last address there is none.
func TestStringsDoNotGoOnAtZero(t *testing.T) {
	t.Parallel()
	r := newEdgeRig(t)
	pointers := r.room(8)
	for name, first := range map[string]string{"args_get": "guest\x00", "environ_get": "A=b\x00"} {
		r.expect(EFAULT, name, pointers, edge(len(first)))
		if got := r.read(0, 4); string(got) != "\x00\x00\x00\x00" {
			t.Errorf("%s has written %q to the address 0", name, got)
		}
	}
}

package main

// kind is what a parameter is for.
type kind byte

const (
	descriptor    kind = iota
	number             // flags, or any other of 32 bits
	wide               // of 64 bits
	pointer            // to nothing in particular
	out                // pointer to a result, of a size
	vectors            // pointer to buffers, and their count
	path               // pointer and length
	buffer             // pointer and length
	subscriptions      // pointer
	few                // number of which the smallest mean something
	address            // pointer to the pointer and the length of a socket's address
)

// parameter is one, or two that belong together.
type parameter struct {
	kind kind
	size uint32 // of a result
}

// called is a function that guests call. Its name is that of the specification.
type called struct {
	name       string
	parameters []parameter
}

var (
	fd  = parameter{kind: descriptor}
	num = parameter{kind: number}
	big = parameter{kind: wide}
	ptr = parameter{kind: pointer}
	iov = parameter{kind: vectors}
	str = parameter{kind: path}
	buf = parameter{kind: buffer}
	low = parameter{kind: few}
	adr = parameter{kind: address}
)

func result(size uint32) parameter { return parameter{out, size} }

// functions are all of preview 1 but those that end the guest.
var functions = []called{
	{"args_get", []parameter{ptr, ptr}},
	{"args_sizes_get", []parameter{result(4), result(4)}},
	{"clock_res_get", []parameter{num, result(8)}},
	{"clock_time_get", []parameter{num, big, result(8)}},
	{"environ_get", []parameter{ptr, ptr}},
	{"environ_sizes_get", []parameter{result(4), result(4)}},
	{"fd_advise", []parameter{fd, big, big, num}},
	{"fd_allocate", []parameter{fd, big, big}},
	{"fd_close", []parameter{fd}},
	{"fd_datasync", []parameter{fd}},
	{"fd_fdstat_get", []parameter{fd, result(24)}},
	{"fd_fdstat_set_flags", []parameter{fd, num}},
	{"fd_fdstat_set_rights", []parameter{fd, big, big}},
	{"fd_filestat_get", []parameter{fd, result(64)}},
	{"fd_filestat_set_size", []parameter{fd, big}},
	{"fd_filestat_set_times", []parameter{fd, big, big, num}},
	{"fd_pread", []parameter{fd, iov, big, result(4)}},
	{"fd_prestat_get", []parameter{fd, result(8)}},
	{"fd_prestat_dir_name", []parameter{fd, buf}},
	{"fd_pwrite", []parameter{fd, iov, big, result(4)}},
	{"fd_read", []parameter{fd, iov, result(4)}},
	{"fd_readdir", []parameter{fd, buf, big, result(4)}},
	{"fd_renumber", []parameter{fd, fd}},
	{"fd_seek", []parameter{fd, big, num, result(8)}},
	{"fd_sync", []parameter{fd}},
	{"fd_tell", []parameter{fd, result(8)}},
	{"fd_write", []parameter{fd, iov, result(4)}},
	{"path_create_directory", []parameter{fd, str}},
	{"path_filestat_get", []parameter{fd, num, str, result(64)}},
	{"path_filestat_set_times", []parameter{fd, num, str, big, big, num}},
	{"path_link", []parameter{fd, num, str, fd, str}},
	{"path_open", []parameter{fd, num, str, num, big, big, num, result(4)}},
	{"path_readlink", []parameter{fd, str, buf, result(4)}},
	{"path_remove_directory", []parameter{fd, str}},
	{"path_rename", []parameter{fd, str, fd, str}},
	{"path_symlink", []parameter{str, fd, str}},
	{"path_unlink_file", []parameter{fd, str}},
	{"poll_oneoff", []parameter{{kind: subscriptions}, ptr, num, result(4)}},
	{"random_get", []parameter{buf}},
	{"sched_yield", nil},
	{"sock_accept", []parameter{fd, num, result(4)}},
	{"sock_recv", []parameter{fd, iov, num, result(4), result(2)}},
	{"sock_send", []parameter{fd, iov, num, result(4)}},
	{"sock_shutdown", []parameter{fd, num}},
}

// socketFunctions are WasmEdge's, and socketVersions those of which there are two.
var (
	socketFunctions = []called{
		{"sock_open", []parameter{low, low, result(4)}},
		{"sock_bind", []parameter{fd, adr, num}},
		{"sock_listen", []parameter{fd, num}},
		{"sock_connect", []parameter{fd, adr, num}},
		{"sock_send_to", []parameter{fd, iov, adr, num, low, result(4)}},
		{"sock_getsockopt", []parameter{fd, low, num, ptr, ptr}},
		{"sock_setsockopt", []parameter{fd, low, num, buf}},
		{"sock_getaddrinfo", []parameter{str, str, ptr, ptr, low, result(4)}},
	}
	socketVersions = [][]called{{
		{"sock_recv_from", []parameter{fd, iov, adr, low, result(4), result(2)}},
		{"sock_getlocaladdr", []parameter{fd, adr, ptr, result(4)}},
		{"sock_getpeeraddr", []parameter{fd, adr, ptr, result(4)}},
	}, {
		{"sock_recv_from", []parameter{fd, iov, adr, low, ptr, result(4), result(2)}},
		{"sock_getlocaladdr", []parameter{fd, adr, result(4)}},
		{"sock_getpeeraddr", []parameter{fd, adr, result(4)}},
	}}
	// addresses are a host's own, in the forms of both versions.
	addresses = [][]byte{
		{127, 0, 0, 1}, append(make([]byte, 15), 1),
		append([]byte{1, 0, 127, 0, 0, 1}, make([]byte, 122)...), append(append([]byte{2, 0}, make([]byte, 15)...), append([]byte{1}, make([]byte, 110)...)...),
		append([]byte{3, 0, '/', 'x'}, make([]byte, 124)...),
	}
)

// types are the parameters' in the binary format.
func (c called) types() []byte {
	const i32, i64 = 0x7f, 0x7e
	var all []byte
	for _, p := range c.parameters {
		switch p.kind {
		case wide:
			all = append(all, i64)
		case vectors, path, buffer:
			all = append(all, i32, i32)
		default:
			all = append(all, i32)
		}
	}
	return all
}

package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

const (
	callsPerGuest = 400
	pageSize      = 1 << 16
	mostPages     = 1 << 16
	lastErrno     = 76
	// lastAddressError is that of sock_getaddrinfo, which has more.
	lastAddressError = 87
	// hostModule and oldModule are what guests import from.
	hostModule = "wasi_snapshot_preview1"
	oldModule  = "wasi_unstable"
)

// Places in a guest's memory.
const (
	results       = 0 // up to the next
	vectorArrays  = 0x1000
	someVectors   = 0x1800 // good buffers, in between
	paths         = 0x2000
	subscribed    = 0x6000
	subscribedEnd = 0x7000
	addressPairs  = 0x7000
	addressBytes  = 0x7100
	dataEnd       = 0x7400
)

// names are paths that mean something, and those that should not.
var names = []string{
	"f", "f/", "dir", "dir/", "dir/f", "new", "new/", "a/b/c", ".", "..", "", "/", "./f", "dir/../f", "dir/../../outside", "../outside",
	"/etc/passwd", "out", "out/f", "absolute", "loop", "loop/f", "link", "link/", "fifo", "n\x00l", "\xff\xfe", "ü", strings.Repeat("a", 255), strings.Repeat("a", 256),
	strings.Repeat("a/", 2047), strings.Repeat("a", 4096), strings.Repeat("/", 200), strings.Repeat("../", 100), "dir/./././f",
}

// generator makes one guest.
type generator struct {
	*rand.Rand
	size uint64 // of the memory
	// texts are the places of names.
	texts []uint32
	old   bool
	// all are the functions that are imported.
	all []called
}

// guest is a module, in the binary format.
func guest(seed uint64) []byte {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	pages := 1 + g.Uint32N(3)
	switch g.IntN(30) {
	case 0:
		pages = 0
	case 1, 2: // whose memory ends where addresses do
		pages = mostPages
	}
	g.size, g.old = uint64(pages)*pageSize, g.IntN(5) == 0
	module := hostModule
	switch {
	case g.old:
		module = oldModule
		g.all = slices.DeleteFunc(slices.Clone(functions), func(c called) bool { return c.name == "sock_accept" })
	case g.IntN(2) == 0:
		g.all = slices.Concat(functions, socketFunctions, socketVersions[g.IntN(len(socketVersions))])
	default:
		g.all = functions
	}
	data := g.data()
	var a assembler
	for i, c := range g.all {
		a.imports = append(a.imports, imported{module, c.name, a.typeOf(c.types(), true), i})
	}
	for n := range callsPerGuest {
		i := g.choose(n)
		body, text := g.call(uint32(i), g.all[i])
		a.functions = append(a.functions, defined{fmt.Sprintf("%d %s(%s)", n, g.all[i].name, text), body})
		if n == opening {
			a.functions = append(a.functions, g.impatient()...)
		}
	}
	return a.module(pages, data)
}

// index is that of a function, or -1 if it is not imported.
func (g *generator) index(name string) int {
	return slices.IndexFunc(g.all, func(c called) bool { return c.name == name })
}

// opening is how many calls open something at first.
const opening = 40

// impatient makes most of what is open not block: a guest that waits for nothing does
// no more.
func (g *generator) impatient() (list []defined) {
	const nonblock = 4
	for fd := range uint32(opening) {
		if g.IntN(8) > 0 {
			body := constant32(constant32(nil, 6+fd), nonblock)
			body = append(binary.AppendUvarint(append(body, 0x10), uint64(g.index("fd_fdstat_set_flags"))), 0x1a) // call drop
			list = append(list, defined{fmt.Sprintf("do not block: %d", fd), body})
		}
	}
	return list
}

// choose finds a function. Those that take things away are rare.
func (g *generator) choose(n int) int {
	if sockets := g.index("sock_open"); n < opening && n%2 == 0 && sockets >= 0 {
		return sockets
	}
	if n < opening {
		return g.index("path_open")
	}
	wanted := ""
	if g.index("sock_open") >= 0 && g.IntN(2) == 0 {
		wanted = "sock_"
	}
	for {
		i := g.IntN(len(g.all))
		if !strings.HasPrefix(g.all[i].name, wanted) {
			continue
		}
		switch g.all[i].name {
		case "fd_close", "fd_renumber", "fd_fdstat_set_rights", "path_unlink_file", "path_remove_directory", "path_rename":
			if g.IntN(8) > 0 {
				continue
			}
		}
		return i
	}
}

// call is the body of a function that calls another one, and traps if it is answered
// with something that is no errno, or with no error where one has to be.
func (g *generator) call(index uint32, c called) (body []byte, text string) {
	var described []string
	hasToFail := false
	for _, p := range c.parameters {
		for _, v := range g.arguments(p) {
			if p.kind == wide {
				body = constant64(body, v)
			} else {
				body = constant32(body, uint32(v))
			}
			described = append(described, fmt.Sprintf("%#x", v))
			if p.kind == out && uint64(uint32(v))+uint64(g.sizeOf(c, p)) > g.size {
				hasToFail = true
			}
		}
	}
	body = append(body, 0x10) // call
	body = binary.AppendUvarint(body, uint64(index))
	body = append(body, 0x22, 0) // local.tee
	last := uint32(lastErrno)
	if c.name == "sock_getaddrinfo" {
		last = lastAddressError
	}
	body = constant32(body, last)
	body = append(body, 0x4b, 0x04, 0x40, 0x00, 0x0b) // i32.gt_u if unreachable end
	if hasToFail {
		body = append(body, 0x20, 0, 0x45, 0x04, 0x40, 0x00, 0x0b) // local.get i32.eqz if unreachable end
		described = append(described, "has to fail")
	}
	return body, strings.Join(described, " ")
}

// sizeOf a result: older files have fewer links.
func (g *generator) sizeOf(c called, p parameter) uint32 {
	if g.old && strings.HasSuffix(c.name, "filestat_get") {
		return 56
	}
	return p.size
}

func (g *generator) arguments(p parameter) []uint64 {
	switch p.kind {
	case descriptor:
		return []uint64{g.descriptor()}
	case number:
		return []uint64{g.number()}
	case few:
		if g.IntN(8) > 0 {
			return []uint64{uint64(g.IntN(3))}
		}
		return []uint64{g.number()}
	case wide:
		return []uint64{g.wide()}
	case address:
		if g.IntN(4) > 0 {
			return []uint64{uint64(addressPairs + 8*g.IntN(len(addresses)))}
		}
		return []uint64{g.pointer(vectorArrays, paths)}
	case out, pointer:
		return []uint64{g.pointer(results, vectorArrays)}
	case vectors:
		return []uint64{g.pointer(vectorArrays, paths), uint64(g.count())}
	case path:
		if g.IntN(4) > 0 {
			i := g.IntN(len(names))
			return []uint64{uint64(g.texts[i]), uint64(len(names[i]))}
		}
		return []uint64{g.pointer(paths, subscribed), uint64(g.count())}
	case buffer:
		return []uint64{g.pointer(results, vectorArrays), uint64(g.count())}
	default:
		return []uint64{g.pointer(subscribed, subscribedEnd)}
	}
}

func (g *generator) descriptor() uint64 {
	switch g.IntN(8) {
	case 0:
		return uint64(pick(g, 0, 1, 2, 0xffffffff, 0x7fffffff, 0x80000000, 1<<20))
	case 1:
		return uint64(g.Uint32())
	case 2, 3, 4:
		return uint64(3 + g.IntN(3)) // directories
	default:
		return uint64(6 + g.IntN(30))
	}
}

func (g *generator) number() uint64 {
	if g.IntN(4) == 0 {
		return uint64(g.Uint32())
	}
	return uint64(g.IntN(32))
}

func (g *generator) wide() uint64 {
	switch g.IntN(4) {
	case 0:
		return pick[uint64](g, 1<<63-1, 1<<63, 1<<64-1, 1<<32, 1<<62)
	case 1:
		return g.Uint64()
	case 2:
		return 0x1fffffff // all rights
	default:
		return g.Uint64N(1 << 20)
	}
}

// pointer is into a region mostly.
func (g *generator) pointer(from, to uint32) uint64 {
	switch g.IntN(6) {
	case 0:
		return uint64(uint32(pick(g, g.size, g.size-1, g.size-2, g.size-4, g.size-8, g.size-24, g.size-56, g.size-64, g.size-g.Uint64N(64), 0xffffffff, 0xfffffff8, 0x80000000, 0)))
	case 1:
		return uint64(g.Uint32())
	case 2:
		return g.Uint64N(max(g.size, 1))
	default:
		return uint64(from + g.Uint32N((to-from)/8)*8)
	}
}

// count is small where there is so much memory that most is within: to fill that takes
// seconds, and the machine's memory.
func (g *generator) count() uint32 {
	if g.size == mostPages*pageSize {
		return pick(g, g.Uint32N(64), 1, 8, 64, 1024, 1025)
	}
	switch g.IntN(8) {
	case 0:
		return pick(g, 0xffffffff, 0x80000000, 0x20000000, 0x10000001, uint32(g.size), 1024, 1025)
	case 1:
		return g.Uint32()
	default:
		return g.Uint32N(20)
	}
}

func pick[T any](g *generator, values ...T) T { return values[g.IntN(len(values))] }

// data is the first part of the memory.
func (g *generator) data() []byte {
	data := make([]byte, dataEnd)
	for at := vectorArrays; at < paths; at += 8 {
		p, n := g.pointer(results, vectorArrays), g.count()
		if at >= someVectors {
			half := min(max(g.size/2, 1), 1<<20)
			p, n = g.Uint64N(half), uint32(g.Uint64N(half))
		}
		binary.LittleEndian.PutUint32(data[at:], uint32(p))
		binary.LittleEndian.PutUint32(data[at+4:], n)
	}
	at := uint32(paths)
	for _, name := range names {
		g.texts = append(g.texts, at)
		at += uint32(copy(data[at:subscribed], name))
	}
	g.subscriptions(data[subscribed:subscribedEnd])
	at = addressBytes
	for i, a := range addresses {
		binary.LittleEndian.PutUint32(data[addressPairs+8*i:], at)
		binary.LittleEndian.PutUint32(data[addressPairs+8*i+4:], uint32(len(a)))
		at += uint32(copy(data[at:], a))
	}
	return data
}

// subscriptions do not wait for long: a time or a byte at most.
func (g *generator) subscriptions(data []byte) {
	const size = 48
	for ; len(data) >= size; data = data[size:] {
		binary.LittleEndian.PutUint64(data, g.Uint64())
		data[8] = byte(g.IntN(4))
		binary.LittleEndian.PutUint32(data[16:], uint32(g.descriptor()))
		if data[8] == 0 {
			binary.LittleEndian.PutUint32(data[16:], g.Uint32N(5))
			binary.LittleEndian.PutUint64(data[24:], g.Uint64N(1e6))
			binary.LittleEndian.PutUint16(data[40:], uint16(g.Uint32N(3)))
		}
	}
}

package preview1

import (
	"runtime"
	"testing"
	"unsafe"
)

// What a guest has open costs memory of its container, and not much: with a limit of
// 65,536 files as much as a small program.
func TestManyDescriptors(t *testing.T) {
	const many, most = 1 << 16, 16 << 20
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var all table
	before := used()
	for i := range many {
		if number, e := all.add(&descriptor{fd: -1}); e != ESUCCESS || number != uint32(i) {
			t.Fatalf("number %d, %v after %d", number, e, i)
		}
	}
	grown := used() - before
	t.Logf("%d descriptors of %d bytes take %d bytes", many, unsafe.Sizeof(descriptor{}), grown)
	if grown > most {
		t.Errorf("they take %d bytes", grown)
	}
	for number := uint32(many - 1); number < many; number -= 5 {
		if _, e := all.remove(number); e != ESUCCESS {
			t.Fatalf("remove %d: %v", number, e)
		}
	}
	for number := range uint32(many) {
		if number%5 != 0 {
			continue
		}
		if got, e := all.add(new(descriptor)); e != ESUCCESS || got != number {
			t.Fatalf("number %d, %v; the lowest free one is %d", got, e, number)
		}
	}
	if number, e := all.add(new(descriptor)); e != ESUCCESS || number != many {
		t.Errorf("number %d, %v; all below %d are taken", number, e, many)
	}
	runtime.KeepAlive(&all)
}

// Where the limit of the process is higher, or there is none, the table has one.
func TestMostDescriptors(t *testing.T) {
	t.Parallel()
	var all table
	same := new(descriptor)
	for range maxDescriptors {
		if _, e := all.add(same); e != ESUCCESS {
			t.Fatalf("%v after %d", e, len(all.slots))
		}
	}
	if number, e := all.add(same); e != EMFILE {
		t.Errorf("number %d, %v", number, e)
	}
	if _, e := all.remove(7); e != ESUCCESS {
		t.Error(e)
	}
	if number, e := all.add(same); e != ESUCCESS || number != 7 {
		t.Errorf("number %d, %v", number, e)
	}
	if number, e := all.add(same); e != EMFILE {
		t.Errorf("number %d, %v", number, e)
	}
}

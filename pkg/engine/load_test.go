package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// guests are modules in which something depends on what a runner leaves out of a
// module, or puts into memory by itself.
var guests = map[string]string{
	"nothing":      ``,
	"empty body":   `(func (export "run"))`,
	"result":       `(func (export "run") (result i64) (i64.const 42))`,
	"trap":         `(func $f unreachable) (func $named (export "run") (call $f))`,
	"no memory":    `(func $a (result i32) (i32.const 1)) (func (export "run") (result i32) (i32.add (call $a) (call $a)))`,
	"only imports": `(import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32))) (export "run" (func $y))`,
	"host call": `(import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32)))
		(func (export "run") (result i32) (i32.add (call $y) (i32.const 7)))`,
	"locals": `(func (export "run") (result i64) (local i32 i64 f32 f64 v128) (local.set 1 (i64.const -1)) (local.get 1))`,
	"data": `(memory (export "m") 1) (data (i32.const 10) "hello") (data (i32.const 65535) "!")
		(func (export "run") (result i64) (i64.load (i32.const 8)))`,
	"data that overlap": `(memory (export "m") 1 2) (data (i32.const 0) "first") (data (i32.const 2) "second") (data (i32.const 1) "3")`,
	"empty data":        `(memory (export "m") 1) (data (i32.const 65536) "") (data (i32.const 0) "")`,
	"much data":         `(memory (export "m") 16 32) (data (i32.const 1000) "` + strings.Repeat("0123456789abcdef", 40000) + `")`,
	"many data":         `(memory (export "m") 3)` + many(3000, `(data (i32.const %d) "\01%[1]x")`),
	"computed offset":   `(memory (export "m") 1) (data (i32.add (i32.const 5) (i32.const 6)) "x") (data (i32.const 1) "y")`,
	"data out of bounds": `(memory (export "m") 1) (data (i32.const 1) "in") (data (i32.const 65533) "outside")
		(func (export "run"))`,
	"data at a negative offset": `(memory (export "m") 1) (data (i32.const -1) "x") (func (export "run"))`,
	"passive data": `(memory (export "m") 1) (data $p "passive") (data (i32.const 100) "active")
		(func (export "run") (memory.init $p (i32.const 3) (i32.const 1) (i32.const 4)) (data.drop $p))`,
	"memory.init of active data": `(memory (export "m") 1) (data $a (i32.const 100) "active")
		(func (export "run") (memory.init $a (i32.const 3) (i32.const 0) (i32.const 6)))`,
	"memory that grows": `(memory (export "m") 1 5) (data (i32.const 65535) "x")
		(func (export "run") (result i32) (drop (memory.grow (i32.const 2))) (i32.store (i32.const 150000) (i32.const 7)) (memory.size))`,
	"memory that cannot grow":   `(memory (export "m") 2 2) (data (i32.const 1) "x") (func (export "run") (result i32) (memory.grow (i32.const 1)))`,
	"memory without pages":      `(memory (export "m") 0) (func (export "run") (result i32) (memory.grow (i32.const 1)))`,
	"shared memory":             `(memory (export "m") 1 3 shared) (data (i32.const 4) "\07") (func (export "run") (result i32) (i32.atomic.rmw.add (i32.const 4) (i32.const 3)))`,
	"start function":            `(memory (export "m") 1) (data (i32.const 0) "\02") (start $s) (func $s (i32.store (i32.const 8) (i32.load (i32.const 0))))`,
	"start function that traps": `(start $s) (func $s unreachable)`,
	"table": `(type $t (func (result i32))) (table 4 funcref) (elem (i32.const 1) $one $two) (elem declare func $three)
		(func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2)) (func $three (result i32) (i32.const 3))
		(func (export "run") (result i32) (table.set 0 (i32.const 3) (ref.func $three))
			(i32.add (call_indirect (type $t) (i32.const 2)) (call_indirect (type $t) (i32.const 3))))`,
	"wrong type in a table": `(type $t (func (result i64))) (table 1 funcref) (elem (i32.const 0) $f) (func $f)
		(func (export "run") (result i64) (call_indirect (type $t) (i32.const 0)))`,
	"globals": `(global $g (mut i64) (i64.const 5)) (global $r funcref (ref.func $f)) (func $f)
		(func (export "run") (result i64) (global.set $g (i64.add (global.get $g) (i64.const 1))) (global.get $g))`,
	"types":          many(60, `(func (param i32) (result `+"%[2]s"+`) unreachable)`) + `(func (export "run") (result i32) (i32.const 3))`,
	"tail call":      `(func $f (param i32) (result i32) (if (result i32) (local.get 0) (then (return_call $f (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 9)))) (func (export "run") (result i32) (call $f (i32.const 100000)))`,
	"many functions": many(2000, `(func $f%d (result i32) (i32.const %[1]d))`) + `(func (export "run") (result i32) (i32.add (call $f7) (call $f1999)))`,
	"deep recursion": `(func $f (export "run") (call $f))`,
	"division":       `(func (export "run") (result i32) (i32.div_u (i32.const 1) (i32.const 0)))`,
	"out of bounds":  `(memory (export "m") 1) (data (i32.const 0) "x") (func (export "run") (result i32) (i32.load (i32.const 65533)))`,
}

// many repeats a template with a number, and a list of results.
func many(n int, template string) string {
	types := []string{"i32", "i64", "f32", "f64"}
	var b strings.Builder
	for i := range n {
		s := template
		s = strings.ReplaceAll(s, "%[2]s", types[i%4]+strings.Repeat(" i32", i/4))
		s = strings.ReplaceAll(strings.ReplaceAll(s, "%[1]d", fmt.Sprint(i)), "%[1]x", fmt.Sprintf("%x", i))
		b.WriteString(strings.ReplaceAll(s, "%d", fmt.Sprint(i)))
		b.WriteByte('\n')
	}
	return b.String()
}

// TestLoadedModuleDoesWhatACompiledOneDoes: results, memory, traps and their
// stack traces.
func TestLoadedModuleDoesWhatACompiledOneDoes(t *testing.T) {
	t.Parallel()
	for name, source := range guests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			module := wat(t, "(module "+source+")")
			want := cold(t, module).run(t)
			entry := makeEntry(t, module, compile(t, module))
			for _, private := range []bool{false, true} {
				l, stale := load(t, module, entry, private)
				if stale != nil {
					t.Fatalf("stale: %v", stale)
				}
				if got := l.run(t); got != want {
					t.Errorf("private %t: %+v, want %+v", private, got, want)
				}
			}
		})
	}
}

func TestDataIsInTheMemoryUnlessWazeroHasToPutItThere(t *testing.T) {
	t.Parallel()
	for name, filled := range map[string]int64{
		"data": 6, "data that overlap": 12, "many data": 0, "much data": 640000,
		"computed offset": -1, "data out of bounds": -1, "data at a negative offset": -1, "passive data": -1, "memory.init of active data": -1,
		"memory without pages": -1, "no memory": -1,
	} {
		m, err := ReadModule(file(t, wat(t, "(module "+guests[name]+")")), "/guest.wasm")
		must(t, err)
		switch {
		case filled == -1 && m.Image() != nil:
			t.Errorf("%s: in the memory", name)
		case filled >= 0 && m.Image() == nil:
			t.Errorf("%s: left to wazero", name)
		case filled > 0 && m.Image().Filled() != filled:
			t.Errorf("%s: %d bytes in the memory", name, m.Image().Filled())
		}
		m.Free()
	}
}

func TestCodeOfAnotherModuleIsStale(t *testing.T) {
	t.Parallel()
	one := wat(t, `(module (func (export "run") (result i32) (i32.const 1)))`)
	two := wat(t, `(module (func (export "run") (result i32) (i32.const 2)))`)
	l, stale := load(t, one, makeEntry(t, two, compile(t, two)), false)
	if l != nil || !strings.Contains(stale.Reason, "another module") {
		t.Errorf("%v", stale)
	}
	// Even if everything but the key says that it is this one's.
	lie := compile(t, two)
	l, stale = load(t, one, makeEntry(t, one, lie), false)
	if l != nil || !strings.Contains(stale.Reason, "another module") {
		t.Errorf("%v", stale)
	}
	// A compiler that lies about the key can only do so about the module that it
	// was given; what it hands out is executed then.
	lie.Key = compile(t, one).Key
	l, stale = load(t, one, makeEntry(t, one, lie), false)
	if stale != nil || l.run(t).result != 2 {
		t.Errorf("%v", stale)
	}
}

// TestPagesOfSharedCodeAreTheFiles looks at the mapping that is executed.
func TestPagesOfSharedCodeAreTheFiles(t *testing.T) {
	module := wat(t, "(module "+guests["many functions"]+")")
	code := makeEntry(t, module, compile(t, module))
	for _, private := range []bool{false, true} {
		name := fmt.Sprintf("entry-%t-%d", private, time.Now().UnixNano())
		path := t.TempDir() + "/" + name
		must(t, os.WriteFile(path, code, 0o600))
		f, err := os.Open(path)
		must(t, err)
		m, err := ReadModule(file(t, module), "/guest.wasm")
		must(t, err)
		e, err := OpenEntry(f, private)
		must(t, err)
		must(t, f.Close())
		r, err := NewLoader(t.Context())
		must(t, err)
		compiled, err := r.Load(t.Context(), m, e)
		must(t, err)
		if resident := executableKiB(t, name); resident > 0 {
			t.Errorf("private %t: %d KiB are mapped before anything runs", private, resident)
		}
		l := &loaded{r, m, compiled}
		if got := l.run(t); got.result != 2006 {
			t.Errorf("%+v", got)
		}
		if resident := executableKiB(t, name); (resident > 0) == private {
			t.Errorf("private %t: %d KiB of the file are executable", private, resident)
		}
		must(t, r.Close(t.Context()))
	}
}

// executableKiB is how much of a file is mapped for execution, and resident.
func executableKiB(t *testing.T, name string) (kib int) {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	must(t, err)
	inside := false
	for line := range strings.Lines(string(smaps)) {
		fields := strings.Fields(line)
		if !strings.HasSuffix(fields[0], ":") {
			inside = strings.Contains(line, name) && strings.Contains(fields[1], "x")
		}
		if inside && fields[0] == "Rss:" {
			var n int
			_, err := fmt.Sscan(fields[1], &n)
			must(t, err)
			kib += n
		}
		if inside && fields[0] == "Anonymous:" && fields[1] != "0" {
			t.Errorf("%s is not only the file's: %s", name, line)
		}
	}
	return kib
}

// TestLoadingLeavesNothingBehind. Not parallel: it counts what the process has.
func TestLoadingLeavesNothingBehind(t *testing.T) {
	module := wat(t, "(module "+guests["data"]+")")
	other := wat(t, "(module "+guests["result"]+")")
	code := compile(t, module)
	good := makeEntry(t, module, code)
	damaged := append([]byte(nil), good...)
	damaged[len(good)-suffixSize-1] ^= 1 // code
	foreign := makeEntry(t, other, compile(t, other))
	files := map[string]*os.File{"good": file(t, good), "damaged": file(t, damaged), "foreign": file(t, foreign)}
	source := file(t, module)
	round := func() {
		for name, f := range files {
			for _, private := range []bool{false, true} {
				m, err := ReadModule(source, "/guest.wasm")
				must(t, err)
				e, err := OpenEntry(f, private)
				must(t, err)
				r, err := NewLoader(t.Context())
				must(t, err)
				if _, err = r.Load(t.Context(), m, e); (err == nil) != (name == "good") {
					t.Errorf("%s: %v", name, err)
				}
				m.Free()
				must(t, r.Close(t.Context()))
			}
		}
	}
	count := func() (fds, mappings int) {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		maps, err := os.ReadFile("/proc/self/maps")
		must(t, err)
		for line := range strings.Lines(string(maps)) {
			// What wazero has freed with its finalizers does not count here.
			if strings.Contains(line, "/file") && !strings.Contains(line, "r-xp") {
				mappings++
			}
		}
		return len(entries), mappings
	}
	round()
	fds, mappings := count()
	for range 5 {
		round()
	}
	if f, m := count(); f > fds || m > mappings {
		t.Errorf("%d descriptors and %d mappings before, %d and %d after", fds, mappings, f, m)
	}
}

package runner_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Guests of the tests, in the text format. Each has its start function in the
// place of BODY; $print writes the n bytes at p.
const guestTemplate = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1 1000)
  (data (i32.const 1024) "ready\n")
  (func $print (param $p i32) (param $n i32) (result i32)
    (i32.store (i32.const 0) (local.get $p))
    (i32.store (i32.const 4) (local.get $n))
    (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
  (func $ready (drop (call $print (i32.const 1024) (i32.const 6))))
  BODY)`

func guest(t *testing.T, name, body string) string {
	t.Helper()
	return wat(t, name, strings.Replace(guestTemplate, "BODY", body, 1))
}

// Bodies of guests that do not end by themselves.
const (
	// spinBody never leaves generated code.
	spinBody = `(func (export "_start") (call $ready) (loop $l (br $l)))`
	// garbageBody makes the host allocate, so that the collector wants to stop
	// the world while the guest spins.
	garbageBody = `(func (export "_start") (local $i i32)
    (loop $host
      (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 5) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 2048)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $host (i32.lt_u (local.get $i) (i32.const 200000))))
    (call $ready)
    (loop $l (br $l)))`
	// sleepBody waits an hour in poll_oneoff for the monotonic clock.
	sleepBody = `(func (export "_start") (call $ready)
    (i32.store (i32.const 2064) (i32.const 1))
    (i64.store (i32.const 2072) (i64.const 3600000000000))
    (drop (call $poll (i32.const 2048) (i32.const 4096) (i32.const 1) (i32.const 8))))`
	// readBody waits for stdin.
	readBody = `(func (export "_start") (call $ready)
    (i32.store (i32.const 0) (i32.const 2048))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))`
)

// cGuest compiles a C program of testdata.
func cGuest(t *testing.T, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	cmd := exec.Command("clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-Wall", "-o", out, filepath.Join("testdata", name+".c"))
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("clang-14 with wasi-libc: %v\n%s", err, text)
	}
	return out
}

// needRoot fails a test that makes namespaces or changes users: the shim runs as
// root, and so do its tests.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root")
	}
}

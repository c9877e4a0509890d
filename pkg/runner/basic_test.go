package runner_test

import "testing"

const helloWat = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
  (func (export "_start") (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))`

func TestCommandWritesAndEndsWithZero(t *testing.T) {
	t.Parallel()
	run(t, wat(t, "hello", helloWat), options{}).expect(0, "hello\n")
}

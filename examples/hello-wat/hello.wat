;; Greets with nothing but one call of WASI preview 1.
(module
  ;; fd_write(fd, iovs, iovs_len, nwritten) -> errno
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit"
    (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  ;; One iovec at 0: the address and the length of the text.
  (data (i32.const 0) "\08\00\00\00\0f\00\00\00")
  (data (i32.const 8) "Hello from WAT\n")
  (func (export "_start")
    ;; The errno is the exit status: 0 if the greeting was written.
    (call $proc_exit
      (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))

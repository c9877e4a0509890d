package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// TestModuleThatCannotRunIsRefusedInOneSentence: what the user gets to read.
func TestModuleThatCannotRunIsRefusedInOneSentence(t *testing.T) {
	t.Parallel()
	start := `(func (export "_start"))`
	for name, c := range map[string]struct{ source, message string }{
		"MissingFunction": {`(import "env" "foo" (func (param i32)))` + start,
			`imports "env"."foo" (function), which WASI preview 1 does not provide; build the module for wasip1`},
		"MissingTable": {`(import "host" "t" (table 1 funcref))` + start,
			`imports "host"."t" (table), which WASI preview 1 does not provide`},
		"MissingGlobal": {`(import "host" "g" (global i32))` + start,
			`imports "host"."g" (global), which WASI preview 1 does not provide`},
		"ImportedMemory": {`(import "env" "memory" (memory 1))` + start,
			`imports "env"."memory" (memory), which WASI preview 1 does not provide; it expects its host to own its memory`},
		"WrongSignature": {`(import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32)))` + start,
			`imports "wasi_snapshot_preview1"."fd_close" as a function (i64) -> (i32), but in WASI preview 1 it is (i32) -> (i32)`},
		"OldWASI": {`(import "wasi_unstable" "sock_accept" (func (param i32 i32 i32) (result i32)))` + start,
			`it was built for an older WASI`},
		"ComponentPart": {`(import "wasi:cli/environment@0.2.0" "get-environment" (func (param i32)))` + start,
			`it is a part of a WASI 0.2 component; build the module for wasip1`},
		"Emscripten": {`(import "env" "emscripten_resize_heap" (func (param i32) (result i32)))` + start,
			`it was built by Emscripten for JavaScript`},
		"WasmBindgen": {`(import "wbg" "__wbg_log_1" (func (param i32)))` + start,
			`it was built for JavaScript by wasm-bindgen`},
		"GoForJavaScript": {`(import "gojs" "runtime.wasmExit" (func (param i32)))` + start,
			`build it with GOOS=wasip1`},
		"Threads": {`(import "wasi" "thread-spawn" (func (param i32) (result i32)))` + start,
			`build it without threads`},
		"NoStart": {`(func (export "run")) (func (export "add") (param i32 i32))`,
			`does not export a function "_start"; append #name to the module's path to call another one; it exports "run"`},
		"Library": {`(func (export "add") (param i32 i32))`,
			`does not export a function "_start"; it exports no function that a container can call: build it as a command, not as a library`},
		"StartIsNoFunction": {`(global (export "_start") i32 (i32.const 0))`,
			`exports "_start" as a global, not as a function`},
		"StartHasParameters": {`(func (export "_start") (param i32 i64) (result f64) unreachable)`,
			`exports the function "_start" as (i32, i64) -> (f64); a container can only call one without parameters and results`},
		"Exceptions": {`(tag $e) (func (export "_start") (throw $e))`,
			`uses exceptions, which this runtime does not support; build it without`},
		"Memory64": {`(memory i64 1)` + start,
			`uses 64-bit memory (memory64), which this runtime does not support`},
		"MultiMemory": {`(memory 1) (memory 1)` + start,
			`uses several memories (multi-memory), which this runtime does not support`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			module := wat(t, "guest", "(module "+c.source+")", "--enable-exceptions", "--enable-memory64", "--enable-multi-memory")
			refused(t, module, options{}, `module "/guest.wasm" `, c.message)
		})
	}
}

func TestUnknownExportIsRefused(t *testing.T) {
	t.Parallel()
	refused(t, wat(t, "hello", helloWat), options{job: job.Job{Export: "serve"}}, `does not export a function "serve"`, `it exports "_start"`)
}

func TestFileThatIsNoModuleIsRefused(t *testing.T) {
	t.Parallel()
	hello, err := os.ReadFile(wat(t, "hello", helloWat))
	must(t, err)
	flipped := strings.Replace(string(hello), "\x0b", "\xff", 1)
	for name, c := range map[string]struct{ content, message string }{
		"Empty":           {"", "is empty"},
		"Text":            {"hello\n", "is damaged: it does not begin like a WebAssembly module"},
		"OnlyHeader":      {string(hello[:8]), `does not export a function "_start"`},
		"Truncated":       {string(hello[:len(hello)-5]), "is damaged: it ends in the middle of the"},
		"UnknownOpcode":   {flipped, "is damaged"},
		"UnknownSection":  {string(hello) + "\x7f\x00", "is damaged"},
		"OverlongSection": {string(hello) + "\x00\xff\xff\xff\xff\xff\xff", "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			module := filepath.Join(t.TempDir(), "guest.wasm")
			must(t, os.WriteFile(module, []byte(c.content), 0o600))
			refused(t, module, options{}, `module "/guest.wasm" `, c.message)
		})
	}
}

func TestTruncationAnywhereIsRefused(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(cGuest(t, "surroundings"))
	must(t, err)
	dir := t.TempDir()
	for i := range 24 {
		size := 8 + i*(len(data)-9)/24
		module := filepath.Join(dir, "guest.wasm")
		must(t, os.WriteFile(module, data[:size], 0o600))
		refused(t, module, options{}, `module "/guest.wasm" `)
	}
}

func TestHugeAndStrangeFilesAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	refused(t, dir, options{job: job.Job{Module: "/dir"}}, `module "/dir" is not a regular file`)
	sparse := filepath.Join(dir, "sparse.wasm")
	must(t, os.WriteFile(sparse, []byte("\x00asm\x01\x00\x00\x00"), 0o600))
	must(t, os.Truncate(sparse, 2<<30))
	refused(t, sparse, options{}, `module "/sparse.wasm" has 2147483648 bytes`)
	must(t, os.Truncate(sparse, 64<<20))
	refused(t, sparse, options{}, `module "/sparse.wasm" is damaged`)
	refused(t, wat(t, "hello", helloWat), options{job: job.Job{Preopens: []job.Preopen{{Guest: "/data", Host: "/nowhere"}}}}, `preopen "/data": `)
}

// refused starts a module and expects a sentence with these parts, and that
// nothing else is said.
func refused(t *testing.T, module string, o options, parts ...string) {
	t.Helper()
	p, report := start(t, module, o)
	if report.Kind != job.Failed {
		t.Errorf("report is %+v, not failed", report)
	}
	for _, part := range parts {
		if !strings.Contains(report.Message, part) {
			t.Errorf("message %q lacks %q", report.Message, part)
		}
	}
	p.expect(126, "")
	if p.stderr.String() != "" {
		t.Errorf("stderr: %s", p.stderr.String())
	}
}

package preview1

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// TestGuestWithoutMemory calls every function from a module that has no memory: what
// needs some is EFAULT.
func TestGuestWithoutMemory(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	var exports strings.Builder
	for _, f := range functions() {
		if f.name == procExit {
			continue
		}
		params := strings.NewReplacer("i", " i32", "I", " i64").Replace(f.params)
		arguments := strings.NewReplacer("i", "(i32.const 1)", "I", "(i64.const 1)").Replace(f.params)
		fmt.Fprintf(&text, "(import %q %q (func $%s (param%s) (result i32)))\n", ModuleName, f.name, f.name, params)
		fmt.Fprintf(&exports, "(func (export %q) (result i32) (call $%s %s))\n", f.name, f.name, arguments)
	}
	data, err := assemble("(module " + text.String() + exports.String() + ")")
	must(t, err)
	for name, config := range map[string]wazero.RuntimeConfig{"compiled": wazero.NewRuntimeConfig(), "interpreted": wazero.NewRuntimeConfigInterpreter()} {
		r := newRig(t, Config{Args: []string{"guest"}, Env: []string{"A=b"}})
		runtime := wazero.NewRuntimeWithConfig(r.ctx, config)
		defer runtime.Close(r.ctx)
		host := runtime.NewHostModuleBuilder(ModuleName)
		Export(host, func(string) bool { return true })
		_, err = host.Instantiate(r.ctx)
		must(t, err)
		module, err := runtime.Instantiate(r.ctx, data)
		must(t, err)
		for _, f := range functions() {
			if f.name == procExit || f.name == "proc_raise" { // 1 is SIGHUP, which ends it
				continue
			}
			results, err := module.ExportedFunction(f.name).Call(r.ctx)
			if err != nil {
				t.Errorf("%s, %s: %v", f.name, name, err)
				continue
			}
			if e := Errno(results[0]); e == ESUCCESS && strings.HasSuffix(f.name, "_get") {
				t.Errorf("%s, %s: no error, where there is no memory", f.name, name)
			}
		}
	}
}

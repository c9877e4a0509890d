package wasi

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
)

// TestHostHasWhatIsWanted notices a wazero whose builders look different inside.
func TestHostHasWhatIsWanted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, tc := range []struct {
		name   string
		wanted []string
	}{
		{"none", nil},
		{"some", []string{"fd_write", "proc_exit"}},
		{"unknown", []string{"fd_write", "no_such_function"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			wanted := map[string]bool{}
			for _, name := range tc.wanted {
				wanted[name] = true
			}
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
			defer r.Close(ctx)
			h, err := Instantiate(ctx, r, func(module, name string) bool { return module == Preview1 && wanted[name] })
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"fd_write", "fd_read", "proc_exit", "no_such_function"} {
				_, _, ok := h.Function(Preview1, name)
				if want := wanted[name] && name != "no_such_function"; ok != want {
					t.Errorf("%s is there: %t, want %t", name, ok, want)
				}
			}
		})
	}
}

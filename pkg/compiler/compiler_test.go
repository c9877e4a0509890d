package compiler

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compilejob"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/compiler/cage"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine"
)

func TestErrorsOfTheEngineAreSorted(t *testing.T) {
	t.Parallel()
	for want, err := range map[compilejob.Kind]error{
		compilejob.Unsupported: engine.ErrUnsupported,
		compilejob.Failed:      fmt.Errorf("%w: its cache is a map", engine.ErrInternals),
		compilejob.OutOfMemory: fmt.Errorf("allocate memory for module: %w", unix.ENOMEM),
		compilejob.Refused:     errors.New(`module "/app.wasm" is damaged`),
	} {
		if got := explain(err); got.Kind != want || got.Message != err.Error() {
			t.Errorf("%v: %+v, want %s", err, got, want)
		}
	}
}

func TestFaultOfTheCompilerIsARefusal(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]any{
		`"kind":"refused","message":"module \"/app.wasm\" cannot be compiled: the compiler has a fault: BUG`: "BUG",
		`"kind":"out-of-memory"`: fmt.Errorf("mmap: %w", unix.ENOMEM),
	} {
		var said strings.Builder
		c := &cage.Cage{Job: &compilejob.Job{Module: "/app.wasm"}, Result: &said}
		status := guarded(c, func() int { panic(value) })
		if status != statusOK || !strings.Contains(said.String(), want) {
			t.Errorf("status %d, %s", status, said.String())
		}
	}
}

package runner_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// origin is how a runner comes by its code.
type origin int

const (
	// warm sends an entry of the cache, as always when the module can be compiled.
	warm origin = iota
	// cold lets the runner compile.
	cold
	// byHand sends nothing: the test does.
	byHand
)

// provide does what the shim does while it makes a container.
func (p *process) provide(m origin, module string) {
	p.t.Helper()
	if m == byHand {
		return
	}
	order, code := job.NoCode, (*os.File)(nil)
	if m == warm {
		if path := entryOf(p.t, module); path != "" {
			order, code = job.Code, open(p.t, path)
		}
	}
	// A runner that refuses before it needs code may have gone: its report is there.
	if err := p.control.Send(order, code); !errors.Is(err, unix.EPIPE) {
		must(p.t, err)
	}
}

// entries are the entries of the cache that the tests share, by the digest of
// the module.
var entries sync.Map

// entryOf returns the path of the entry for a module, which it makes if there is
// none, or "" if the module is refused.
func entryOf(t testing.TB, module string) string {
	t.Helper()
	data, err := os.ReadFile(module)
	if err != nil {
		return "" // the runner will say so
	}
	digest := sha256.Sum256(data)
	compile := sync.OnceValues(func() (string, error) {
		path := filepath.Join(filepath.Dir(binary), fmt.Sprintf("%x.entry", digest))
		out, err := exec.Command(binary, "compile", module, path).CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 3 {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("compile %s: %w\n%s", module, err, out)
		}
		return path, nil
	})
	shared, _ := entries.LoadOrStore(digest, compile)
	path, err := shared.(func() (string, error))()
	must(t, err)
	return path
}

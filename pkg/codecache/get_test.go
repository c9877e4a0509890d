package codecache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/codecache/entry"
)

func TestSecondStartFindsTheCode(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	first := f.expect(t, m, Compiled, 1)
	check(t, first.Close())
	check(t, first.Close())
	f.expect(t, m, Hit, 1)
	f.again(t).expect(t, m, Hit, 0)
	f.expect(t, moduleOf(t, "another"), Compiled, 2)
	f.assertTidy(t, 2)
	if lines := f.logged.lines(); len(lines) > 0 {
		t.Errorf("logged %q", lines)
	}
}

func TestOffsetOfTheModuleStaysTheCallers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	_, err := m.File.Seek(3, 0)
	check(t, err)
	f.expect(t, m, Compiled, 1)
	if at, err := m.File.Seek(0, 1); at != 3 || err != nil {
		t.Errorf("offset %d, %v", at, err)
	}
}

func TestGivenDigestIsUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "module")
	code := f.expect(t, m, Compiled, 1)
	m.Digest = &code.Digest
	f.expect(t, m, Hit, 1)
}

func TestEmptyModule(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moduleOf(t, "")
	f.expect(t, m, Compiled, 1)
	f.again(t).expect(t, m, Hit, 0)
}

func TestTenAtOnceCompileOnce(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"stored":   func(*Config) {},
		"bypassed": func(c *Config) { c.Disabled = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := make(chan struct{})
			f := newFixture(t, gated(begin), change)
			m := moduleOf(t, "module")
			outcomes := map[Outcome]int{}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					code, err := f.Get(t.Context(), m)
					if err != nil {
						t.Error(err)
						return
					}
					defer code.Close()
					f.assertCodeOf(t, code, m)
					if d := max(code.Wait, code.Compile); d < 40*time.Millisecond {
						t.Errorf("%s took %v", code.Outcome, d)
					}
					mu.Lock()
					defer mu.Unlock()
					outcomes[code.Outcome]++
				})
			}
			eventually(t, "ten wait", func() bool { return f.waiting() == 10 && f.compiled.Load() == 1 })
			time.Sleep(50 * time.Millisecond) // for all to have spent some time
			close(begin)
			wg.Wait()
			if n := f.compiled.Load(); n != 1 {
				t.Errorf("%d compiles", n)
			}
			want := outcomes[Compiled] == 1 && outcomes[Waited] == 9
			if name == "bypassed" {
				want = outcomes[Bypassed] == 10
			}
			if !want {
				t.Errorf("outcomes %v", outcomes)
			}
			if len(f.stored) != 0 || len(f.flights) != 0 {
				t.Errorf("remembers %v and %v", f.stored, f.flights)
			}
		})
	}
}

// gated is a compiler that waits for the test.
func gated(begin chan struct{}) func(*Config) {
	return func(c *Config) {
		c.Compile = func(ctx context.Context, m Module, d entry.Digest) (*os.File, error) {
			<-begin
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return compileModule(ctx, m, d)
		}
	}
}

func failing(err error) func(*Config) {
	return func(c *Config) {
		c.Compile = func(context.Context, Module, entry.Digest) (*os.File, error) { return nil, err }
	}
}

func TestRefusalIsTheError(t *testing.T) {
	t.Parallel()
	for _, want := range []error{&Refused{Reason: "it is no module"}, fmt.Errorf("too large: %w", ErrLimit), errors.New("killed")} {
		f := newFixture(t, failing(want))
		m := moduleOf(t, "module")
		for n := int64(1); n <= 2; n++ { // the second one is not told about the first
			code, err := f.Get(t.Context(), m)
			if err != want || code != nil || f.compiled.Load() != n {
				t.Errorf("got %v, %v after %d compiles", code, err, f.compiled.Load())
			}
		}
		f.assertTidy(t, 0)
	}
}

func TestRefusalIsRememberedForThoseWhoWait(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{&Refused{Reason: "it is no module"}, fmt.Errorf("too large: %w", ErrLimit)} {
		begin := make(chan struct{})
		f := newFixture(t, func(c *Config) {
			c.Compile = func(context.Context, Module, entry.Digest) (*os.File, error) {
				<-begin
				return nil, refusal
			}
		})
		m := moduleOf(t, "module")
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := f.Get(t.Context(), m); !errors.Is(err, refusal) {
					t.Errorf("got %v", err)
				}
			})
		}
		eventually(t, "ten wait", func() bool { return f.waiting() == 10 })
		close(begin)
		wg.Wait()
		if n := f.compiled.Load(); n != 1 {
			t.Errorf("%d compiles", n)
		}
	}
}

func TestNotesKeepTheKindOfAnError(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ö", maxNote)
	for _, reason := range []string{"", "a reason", long} {
		var refused *Refused
		if err := fromNote(noteOf(&Refused{Reason: reason})); !errors.As(err, &refused) || !strings.HasPrefix(reason, err.Error()) {
			t.Errorf("refused became %v", err)
		}
		limit := fmt.Errorf("%s%w", reason, ErrLimit)
		if err := fromNote(noteOf(limit)); !errors.Is(err, ErrLimit) || !strings.HasPrefix(limit.Error(), err.Error()) {
			t.Errorf("limit became %v", err)
		}
	}
	if err := fromNote(noteOf(errUnstored)); err != errUnstored {
		t.Errorf("unstored became %v", err)
	}
	if err := fromNote(noteOf(errors.New("killed"))); err != nil {
		t.Errorf("an accident became %v", err)
	}
	if n := len(noteOf(&Refused{Reason: long})); n > maxNote {
		t.Errorf("a note of %d bytes", n)
	}
}

// waiting counts the callers in flights.
func (f *fixture) waiting() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, flight := range f.flights {
		n += flight.waiters
	}
	return n
}

func TestNextOneTriesAfterAnAccident(t *testing.T) {
	t.Parallel()
	begin := make(chan struct{})
	first := sync.OnceValue(func() error { return errors.New("killed") })
	var once sync.Once
	f := newFixture(t, func(c *Config) {
		c.Compile = func(ctx context.Context, m Module, d entry.Digest) (*os.File, error) {
			var err error
			once.Do(func() { <-begin; err = first() })
			if err != nil {
				return nil, err
			}
			return compileModule(ctx, m, d)
		}
	})
	m := moduleOf(t, "module")
	var mu sync.Mutex
	var failed int
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			code, err := f.Get(t.Context(), m)
			if err != nil {
				mu.Lock()
				failed++
				mu.Unlock()
				return
			}
			code.Close()
		})
	}
	eventually(t, "five wait", func() bool { return f.waiting() == 5 })
	close(begin)
	wg.Wait()
	if n := f.compiled.Load(); n != 2 || failed != 1 {
		t.Errorf("%d compiles, %d failed", n, failed)
	}
	f.assertTidy(t, 1)
}

func TestCancelledCallerLeavesTheCompilerToOthers(t *testing.T) {
	t.Parallel()
	begin := make(chan struct{})
	f := newFixture(t, gated(begin))
	content := "module"
	m := moduleOf(t, content)
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := make(chan error)
	go func() {
		_, err := f.Get(ctx, m)
		m.File.Close() // the file was the caller's
		cancelled <- err
	}()
	eventually(t, "the first waits", func() bool { return f.waiting() == 1 })
	other := moduleOf(t, content)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.mustGet(t, other)
	}()
	eventually(t, "both wait", func() bool { return f.waiting() == 2 })
	cancel()
	if err := <-cancelled; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(begin)
	<-done
	if n := f.compiled.Load(); n != 1 {
		t.Errorf("%d compiles", n)
	}
}

func TestResultOfACompileThatNobodyWaitsForIsKept(t *testing.T) {
	t.Parallel()
	begin := make(chan struct{})
	f := newFixture(t, gated(begin))
	m := moduleOf(t, "module")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		eventually(t, "compiling", func() bool { return f.compiled.Load() == 1 })
		cancel()
	}()
	if _, err := f.Get(ctx, m); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(begin)
	eventually(t, "the end of the flight", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.flights) == 0 && len(f.stored) == 0
	})
	f.expect(t, m, Hit, 1)
}

// A module may take over its compiler, which may then return anything.
func TestCompilerIsNotTrusted(t *testing.T) {
	t.Parallel()
	content := []byte("module")
	for name, compile := range map[string]func() (*os.File, error){
		"nothing":               func() (*os.File, error) { return sealed(nil) },
		"garbage":               func() (*os.File, error) { return sealed(bytes.Repeat([]byte("garbage "), 1000)) },
		"half an entry":         func() (*os.File, error) { return half(content) },
		"another module's code": func() (*os.File, error) { return sealedEntry([]byte("other"), func(*entry.Header) {}) },
		"another size":          func() (*os.File, error) { return sealedEntry(content, func(h *entry.Header) { h.ModuleSize = 7 }) },
		"another engine":        func() (*os.File, error) { return sealedEntry(content, func(h *entry.Header) { h.Engine = "mine" }) },
		"what it may change":    func() (*os.File, error) { return unsealed(content) },
		"a file":                func() (*os.File, error) { return os.Open("/proc/self/exe") },
		"a pipe": func() (*os.File, error) {
			r, w, err := os.Pipe()
			w.Close()
			return r, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(c *Config) {
				c.Compile = func(context.Context, Module, entry.Digest) (*os.File, error) { return compile() }
			})
			code, err := f.Get(t.Context(), moduleOf(t, string(content)))
			if err == nil || !strings.Contains(err.Error(), "the compiler returned something else than the code of /app.wasm") {
				t.Errorf("got %v, %v", code, err)
			}
			f.assertTidy(t, 0)
		})
	}
}

func sealed(content []byte) (*os.File, error) {
	f, err := unsealedWith(content)
	if err != nil {
		return nil, err
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	return f, err
}

func unsealedWith(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "entry")
	_, err = f.Write(content)
	return f, err
}

func unsealed(content []byte) (*os.File, error) {
	data, err := bytesOf(sealedEntry(content, func(*entry.Header) {}))
	if err != nil {
		return nil, err
	}
	return unsealedWith(data)
}

func half(content []byte) (*os.File, error) {
	data, err := bytesOf(sealedEntry(content, func(*entry.Header) {}))
	if err != nil {
		return nil, err
	}
	return sealed(data[:len(data)/2])
}

func bytesOf(f *os.File, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	_, err = f.ReadAt(data, 0)
	return data, err
}

func TestOnlyFilesAreModules(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	dir, err := os.Open(t.TempDir())
	check(t, err)
	defer dir.Close()
	if _, err := f.Get(t.Context(), Module{File: dir, Name: "/app"}); err == nil || err.Error() != "/app is not a regular file" {
		t.Errorf("got %v", err)
	}
}

package job

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tempFile is a file with this content, open for reading.
func tempFile(t testing.TB, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte(content), 0o600))
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// TestOrdersArriveWithTheirFiles: all are sent before the first one is received.
func TestOrdersArriveWithTheirFiles(t *testing.T) {
	t.Parallel()
	shim, runner, end := pair(t)
	orders := []struct {
		order Order
		file  string
	}{{Enter, ""}, {Enter, "the root"}, {Proceed, ""}, {NoCode, ""}, {Code, "first"}, {Code, "second"}, {NoCode, "the module"}, {Go, ""}, {Terminate, ""}, {Interrupt, ""}}
	for _, o := range orders {
		var file *os.File
		if o.file != "" {
			file = tempFile(t, o.file)
		}
		must(t, shim.Send(o.order, file))
		if file != nil {
			must(t, file.Close()) // the runner has its own
		}
	}
	for _, want := range orders {
		o, file, err := runner.Receive()
		must(t, err)
		var content []byte
		if file != nil {
			content, err = io.ReadAll(file)
			must(t, err)
			flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFD, 0)
			if err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: the descriptor's flags are %#x, %v", o, flags, err)
			}
			must(t, file.Close())
		}
		if o != want.order || string(content) != want.file {
			t.Errorf("got %q with %q, want %q with %q", o, content, want.order, want.file)
		}
	}
	end()
}

// TestStrangeOrdersAreErrorsAndLeaveNoDescriptors. Not parallel: it counts the
// descriptors of the process.
func TestStrangeOrdersAreErrorsAndLeaveNoDescriptors(t *testing.T) {
	file := tempFile(t, "")
	const none = -1
	for said, c := range map[string]struct {
		at, files int // which byte comes with how many descriptors
		message   string
	}{
		"stop\n":                       {none, 0, `"stop" with 0 descriptors`},
		"go":                           {none, 0, "EOF"},
		"":                             {none, 0, "EOF"},
		"\n":                           {none, 0, `"" with 0`},
		"code\n":                       {none, 0, `"code" with 0`},
		"go\n":                         {0, 1, `"go" with 1`},
		"nocode\n":                     {0, 2, "2 descriptors"},
		"code\n ":                      {3, 2, "2 descriptors"},
		"code\n  ":                     {0, 16, "16 descriptors"},
		"code\n   ":                    {0, 17, "descriptors"},
		"code\n    ":                   {0, 200, "descriptors"},
		strings.Repeat("a", 100):       {none, 0, "overlong"},
		strings.Repeat("b", 100):       {2, 1, "overlong"},
		"co":                           {1, 1, "EOF"},
		"root\n":                       {0, 1, `"root" with 1`},
		"\x00\x00\x00\x00\x00\x00\x00": {0, 1, "overlong"},
	} {
		t.Run(fmt.Sprintf("%.8q+%d", said, c.files), func(t *testing.T) {
			before := descriptors(t)
			a, b := ends(t)
			for i := range said {
				var rights []byte
				if i == c.at {
					fds := make([]int, c.files)
					for j := range fds {
						fds[j] = int(file.Fd())
					}
					rights = unix.UnixRights(fds...)
				}
				_, _, err := a.WriteMsgUnix([]byte(said[i:i+1]), rights, nil)
				must(t, err)
			}
			must(t, a.Close())
			o, f, err := NewControl(b).Receive()
			if err == nil || f != nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %q, %v, %v", o, f, err)
			}
			must(t, b.Close())
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

// TestDescriptorsWithReportsAreDiscarded: a hostile runner must not fill the
// shim's table. Not parallel: it counts the descriptors of the process.
func TestDescriptorsWithReportsAreDiscarded(t *testing.T) {
	a, b := ends(t)
	shim := NewControl(a)
	file := tempFile(t, "")
	raw, err := b.SyscallConn()
	must(t, err)
	before := descriptors(t)
	for range 20 {
		must(t, sendLine(raw, []byte(`{"kind":"ready"}`+"\n"), unix.UnixRights(int(file.Fd()), int(file.Fd()))))
		if r, err := shim.ReadReport(); err != nil || r.Kind != Ready {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// FuzzReceive plays a shim gone mad: each byte below 8 sends that many
// descriptors with the next one.
func FuzzReceive(f *testing.F) {
	for _, s := range []string{"go\n", "\x01code\ngo\n", "nocode\n\x01nocode\ngo\n", "\x02code\n", "code\n", "\x01go\n", "\x01c\x01ode\n", "\n\n", "gogogogo"} {
		f.Add([]byte(s))
	}
	file := tempFile(f, "content")
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 200 { // the socket takes no more unread
			return
		}
		before := descriptors(t)
		a, b := ends(t)
		var rights []byte
		for _, c := range data {
			if c < 8 {
				fds := make([]int, c)
				for i := range fds {
					fds[i] = int(file.Fd())
				}
				rights = unix.UnixRights(fds...)
				continue
			}
			if _, _, err := a.WriteMsgUnix([]byte{c}, rights, nil); err != nil {
				break // too many in flight
			}
			rights = nil
		}
		must(t, a.Close())
		runner := NewControl(b)
		for {
			o, got, err := runner.Receive()
			if err != nil {
				if got != nil {
					t.Fatal("a file and an error")
				}
				if err.Error() == "" || errors.Is(err, os.ErrClosed) {
					t.Fatalf("error %q", err)
				}
				break
			}
			if o == Code && got == nil || o == Go && got != nil || o != Code && o != Go && o != NoCode {
				t.Fatalf("order %q, file %v", o, got)
			}
			if got != nil {
				must(t, got.Close())
			}
		}
		must(t, b.Close())
		if after := descriptors(t); after != before {
			t.Fatalf("%d descriptors before, %d after", before, after)
		}
	})
}

func TestBareOrdersArriveWithoutDescriptors(t *testing.T) {
	file := tempFile(t, "")
	long := strings.Repeat("a", 100)
	for said, want := range map[string]struct {
		order   Order
		message string
	}{
		"go\n":     {Go, ""},
		"go\nmore": {Go, ""},
		"enter\n":  {Enter, ""}, // the runner refuses it
		"go":       {"", "EOF"},
		"":         {"", "EOF"},
		long:       {"", "overlong"},
	} {
		t.Run(fmt.Sprintf("%.8q", said), func(t *testing.T) {
			before := descriptors(t)
			a, b := ends(t)
			if said != "" {
				_, _, err := a.WriteMsgUnix([]byte(said), unix.UnixRights(int(file.Fd())), nil)
				must(t, err)
			}
			must(t, a.Close())
			o, err := NewControl(b).ReceiveBare()
			if o != want.order || (err == nil) != (want.message == "") || err != nil && !strings.Contains(err.Error(), want.message) {
				t.Errorf("got %q, %v", o, err)
			}
			must(t, b.Close())
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

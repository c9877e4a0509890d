package room

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/internal/testprogram"
)

var program string // testdata/dweller

func TestMain(m *testing.M) {
	os.Exit(testprogram.Main(m, func(dir string) { program = filepath.Join(dir, "dweller") }, "./testdata/dweller"))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dweller is a process in a room, in namespaces of its own.
type dweller struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Scanner

	warnings string
}

// order: see testdata/dweller.
type order struct {
	Room   *Room
	Keep   []string
	Before [][2]string
	Refuse bool
	root   *os.File // of a room to join
}

// enter starts a dweller. An error is its own.
func enter(t *testing.T, o order) (*dweller, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root: the shim is")
	}
	if o.Room.Cwd == "" {
		o.Room.Cwd = "/"
	}
	d := &dweller{t: t, cmd: exec.Command(program)}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  unix.SIGKILL,
	}
	if o.root != nil {
		d.cmd.ExtraFiles = []*os.File{o.root}
	}
	d.cmd.Stderr = os.Stderr
	var err error
	d.in, err = d.cmd.StdinPipe()
	must(t, err)
	out, err := d.cmd.StdoutPipe()
	must(t, err)
	d.answers = bufio.NewScanner(out)
	must(t, d.cmd.Start())
	t.Cleanup(func() {
		_ = d.in.Close()
		_ = d.cmd.Wait()
	})
	text, failure := d.send(o)
	d.warnings = text
	return d, failure
}

// inside is enter for what has to work.
func inside(t *testing.T, r *Room) *dweller {
	t.Helper()
	d, err := enter(t, order{Room: r})
	must(t, err)
	return d
}

// said is an error of another process.
type said string

func (s said) Error() string { return string(s) }

func (d *dweller) send(v any) (string, error) {
	d.t.Helper()
	line, err := json.Marshal(v)
	must(d.t, err)
	if _, err := d.in.Write(append(line, '\n')); err != nil || !d.answers.Scan() {
		d.t.Fatalf("the dweller is gone (%v)", err)
	}
	var a struct{ Text, Error string }
	must(d.t, json.Unmarshal(d.answers.Bytes(), &a))
	if a.Error != "" {
		return a.Text, said(a.Error)
	}
	return a.Text, nil
}

// gives asserts an answer.
func (d *dweller) gives(want string, question ...string) {
	d.t.Helper()
	if got, err := d.send(question); err != nil || got != want {
		d.t.Errorf("%q: %q, %v; want %q", question, got, err, want)
	}
}

// fails asserts an error.
func (d *dweller) fails(want error, question ...string) {
	d.t.Helper()
	if got, err := d.send(question); err == nil || !strings.Contains(err.Error(), want.Error()) {
		d.t.Errorf("%q: %q, %v; want %v", question, got, err, want)
	}
}

// files are made of a name and a text; a name that ends with "/" is a directory's,
// a text that begins with "-> " is where a symbolic link leads.
type files map[string]string

// tree makes files in a new directory.
func tree(t testing.TB, f files) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	for name, text := range f {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		target, isLink := strings.CutPrefix(text, "-> ")
		switch {
		case isLink:
			must(t, os.Symlink(target, path))
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(path, 0o755))
		default:
			must(t, os.WriteFile(path, []byte(text), 0o644))
		}
	}
	return dir
}

// listing is all that is below a directory.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil {
			all = append(all, path+" "+e.Type().String())
		}
		return err
	}))
	return strings.Join(all, "\n")
}

package bundle

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestStateComesBackAsWritten(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	want := State{
		ID: "c1", Namespace: "default", Pid: 42, Native: true, RuncBinary: "/usr/bin/runc",
		SystemdCgroup: true, CgroupsPath: "a.slice:b:c", Cgroup: "/sys/fs/cgroup/a", MountedRootfs: true,
	}
	if err := d.WriteState(want); err != nil {
		t.Fatal(err)
	}
	got, err := d.ReadState()
	if err != nil {
		t.Fatal(err)
	}
	want.Version = stateVersion
	if got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestExitComesBackAsWritten(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	want := Exit{Pid: 7, Status: 137, At: time.Now()}
	if err := d.WriteExit(want); err != nil {
		t.Fatal(err)
	}
	got, err := d.ReadExit()
	if err != nil {
		t.Fatal(err)
	}
	if got.Pid != want.Pid || got.Status != want.Status || !got.At.Equal(want.At) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestMissingFilesAreErrNotExist(t *testing.T) {
	t.Parallel()
	for _, d := range []Dir{Dir(t.TempDir()), "/nonexistent/bundle"} {
		if _, err := d.ReadState(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadState in %s: %v", d, err)
		}
		if _, err := d.ReadExit(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadExit in %s: %v", d, err)
		}
		if d.Deleted() {
			t.Errorf("%s is marked as deleted", d)
		}
	}
	if Dir("/nonexistent/bundle").Exists() {
		t.Error("a bundle that is not there exists")
	}
}

func TestStateFileIsReadTolerantlyButNotBlindly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ content, wantErr string }{
		"field of a later shim": {`{"version":1,"id":"x","later":{"a":[1]}}`, ""},
		"newer version":         {`{"version":2,"id":7}`, "wazero.json has version 2, this shim understands 1 to 1"},
		"no version":            {`{"id":"x"}`, "wazero.json has version 0"},
		"truncated":             {`{"version":1,"id":"x`, "wazero.json: unexpected end of JSON"},
		"empty":                 {``, "wazero.json: unexpected end of JSON"},
		"wrong type":            {`{"version":1,"id":5}`, "wazero.json"},
		"too large":             {`{"version":1,"id":"x"}` + strings.Repeat(" ", maxFile), "is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := Dir(t.TempDir())
			if err := os.WriteFile(d.Path(stateFile), []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := d.ReadState()
			if tc.wantErr == "" {
				if err != nil || s.ID != "x" {
					t.Fatalf("got %+v, %v", s, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
				t.Fatalf("got error %v, want one with %q", err, tc.wantErr)
			}
			if errors.Is(err, fs.ErrNotExist) {
				t.Fatal("damage looks like absence")
			}
		})
	}
}

func TestDirectoryInPlaceOfAFileIsAnError(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	if err := os.Mkdir(d.Path(stateFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadState(); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	if err := d.WriteState(State{ID: "x"}); err == nil {
		t.Fatal("replaced a directory")
	}
	assertNames(t, d, stateFile)
}

func TestReadersNeverSeeHalfAFile(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	state := func(i int) State { return State{ID: strings.Repeat("x", 1+i%1000)} }
	if err := d.WriteState(state(0)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 200 {
				if err := d.WriteState(state(i)); err != nil {
					t.Error(err)
				}
				if _, err := d.ReadState(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	assertNames(t, d, stateFile)
}

func TestOversizedStateIsRefusedAndTheOldOneKept(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	if err := d.WriteState(State{ID: "old"}); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteState(State{ID: strings.Repeat("x", maxFile)}); err == nil {
		t.Fatal("wrote an oversized state")
	}
	if s, err := d.ReadState(); err != nil || s.ID != "old" {
		t.Fatalf("got %+v, %v", s, err)
	}
	assertNames(t, d, stateFile)
}

func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	if err := errors.Join(d.WriteState(State{}), d.WriteExit(Exit{}), d.MarkDeleted()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{stateFile, exitFile, deletedFile} {
		fi, err := os.Stat(d.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, fi.Mode())
		}
	}
}

func TestMarkDeletedTwice(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	for range 2 {
		if err := d.MarkDeleted(); err != nil {
			t.Fatal(err)
		}
		if !d.Deleted() {
			t.Fatal("not marked")
		}
	}
}

func assertNames(t *testing.T, d Dir, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(string(d))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("bundle holds %q, want %q", got, want)
	}
}

package bundle

import (
	"os"
	"testing"
)

// FuzzReadDirect: what is read is of this version, and comes back as written.
func FuzzReadDirect(f *testing.F) {
	for _, s := range []string{
		`{"version":1,"cgroup":"/a/b"}`, `{"version":1,"later":{"a":[1]}}`, `{"version":2}`, `{"version":1,"cgroup":7}`, `{"version":1,"Version":2}`,
		`{"version":1,"cgroup":"/a","cgroup":"/b"}`, `{}`, `null`, `[]`, ``, `{"version":1,"cgroup":"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := Dir(t.TempDir())
		if err := os.WriteFile(d.Path(directFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := d.ReadDirect()
		if err != nil {
			if got != (Direct{}) {
				t.Fatalf("%+v with an error", got)
			}
			return
		}
		if got.Version != directVersion {
			t.Fatalf("version %d", got.Version)
		}
		if err := d.WriteDirect(got); err != nil {
			t.Fatal(err)
		}
		if again, err := d.ReadDirect(); err != nil || again != got {
			t.Fatalf("%+v (%v) comes back as %+v", got, err, again)
		}
	})
}

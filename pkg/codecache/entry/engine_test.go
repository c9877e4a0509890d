package entry

import (
	"os"
	"regexp"
	"testing"
)

// Code must never outlive the wazero that made it.
func TestEngineNamesTheWazeroOfGoMod(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*github.com/tetratelabs/wazero (\S+)$`).FindSubmatch(mod)
	if m == nil {
		t.Fatal("go.mod does not require wazero")
	}
	if string(m[1]) != wazeroVersion {
		t.Errorf("wazeroVersion is %s, go.mod has %s: change the constant, and options if the compiler is run in another way", wazeroVersion, m[1])
	}
}

func TestCurrentEngineFitsIntoAHeader(t *testing.T) {
	t.Parallel()
	if err := Current().check(); err != nil {
		t.Error(err)
	}
}

func TestDigestsHaveOneName(t *testing.T) {
	t.Parallel()
	d := Digest{0xab, 31: 1}
	if got, err := ParseDigest(d.String()); err != nil || got != d {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{"", "ab", d.String() + "00", "AB" + d.String()[2:], "sha256:" + d.String(), "zz" + d.String()[2:]} {
		if _, err := ParseDigest(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

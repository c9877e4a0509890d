package scope

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		"system.slice:docker:0123":                              "/system.slice/docker-0123.scope",
		"a-b-c.slice:cri-containerd:id":                         "/a.slice/a-b.slice/a-b-c.slice/cri-containerd-id.scope",
		"kubepods-burstable-podx_y.slice:cri-containerd:1.2":    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx_y.slice/cri-containerd-1.2.scope",
		"...slice:..:..":                                        "/...slice/..-...scope",
		strings.Repeat("a", 249) + ".slice:b:c":                 "/" + strings.Repeat("a", 249) + ".slice/b-c.scope",
		"a.slice:b:" + strings.Repeat("c", 255-len("b-.scope")): "/a.slice/b-" + strings.Repeat("c", 255-len("b-.scope")) + ".scope",
	} {
		n, err := Parse(from)
		if err != nil || n.Path() != want {
			t.Errorf("%q is %q (%v), want %q", from, n.Path(), err, want)
		}
	}
	for _, from := range []string{
		"", "/a/b", "a.slice:b", "a.slice:b:c:d", ":b:c", "::c", "a.slice::c", "a.slice:b:", ".slice:b:c", "-.slice:b:c",
		"-a.slice:b:c", "a-.slice:b:c", "a--b.slice:b:c", "a:b:c", "a.slice:b:c.slice", "a/b.slice:b:c", "../a.slice:b:c",
		"a.slice:b:c/d", "a.slice:b:../d", "a.slice:b/..:d", "a.slice:b:c d", "a.slice:b:c\x00", "a.slice:b@:c", `a\x2d.slice:b:c`, "a.slice:b:ü",
		strings.Repeat("a", 250) + ".slice:b:c", "a.slice:b:" + strings.Repeat("c", 256-len("b-.scope")),
	} {
		if n, err := Parse(from); err == nil {
			t.Errorf("%q is %+v", from, n)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{`"252.39-1~deb12u1"`: 252, "v245.4-1.fc32": 245, "257": 257, "": 0, "later": 0} {
		if got, err := version(text); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
}

package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// TestOverhead measures what a pod with one idle Wasm container takes beside the
// container itself, which its own limits are for: the shim and what holds the pod,
// a pause container or, with the sandboxer that config-v3.toml offers, a process of
// the shim. The RuntimeClass has to say at least that, and not far more.
func TestOverhead(t *testing.T) {
	found := regexp.MustCompile(`(?m)^    memory: (\d+)Mi$`).FindStringSubmatch(read(t, "runtimeclass.yaml"))
	if found == nil {
		t.Fatal("runtimeclass.yaml has no overhead")
	}
	mebibytes, err := strconv.ParseInt(found[1], 10, 64)
	must(t, err)
	const file = "containerd/config-v3.toml"
	for _, c := range []struct {
		name, holder string
		deliver      delivery
	}{
		{"pause container", "pause", dropped(file)},
		{"sandboxer", "wazero-holder", uncommented(file, "sandboxer")},
	} {
		t.Run(c.name, func(t *testing.T) { overhead(t, c.deliver, c.holder, mebibytes<<20) })
	}
}

func overhead(t *testing.T, deliver delivery, holder string, declared int64) {
	n := start(t, testenv.Newest, 3, deliver, "")
	n.importPause(t)
	img := guests.Multi(t, testenv.Wasm)
	n.importImage(t, img)
	pod, config := n.pod(t)
	container := n.do(t, "create", "--no-pull", pod, n.json(t, "container.json", object{
		"metadata": object{"name": "idle"}, "image": object{"image": img.Name, "user_specified_image": img.Name},
		"args": []string{"sleep"}, "log_path": "idle.log", "linux": object{},
	}), config)
	n.do(t, "start", container)
	var total int64
	var sizes map[string]string
	// The shim gives back what starting took when nothing has happened for a while.
	testenv.Eventually(t, "overhead as declared", func() error {
		total, sizes = 0, map[string]string{}
		for _, p := range processes(t) {
			switch p.name {
			case "containerd-shim-wazero-v1", holder:
				total += p.pss
				fallthrough
			case "multi.wasm":
				sizes[p.name] = size(p.pss)
			}
		}
		switch {
		case len(sizes) != 3:
			return fmt.Errorf("a process was not found: %v", sizes)
		case total > declared || total < declared/3:
			return fmt.Errorf("runtimeclass.yaml says %s, it is %s of %v", size(declared), size(total), sizes)
		}
		return nil
	})
	t.Logf("overhead of a pod: %s of %v", size(total), sizes)
}

// process is a program with its memory: its own, and its part of what it shares
// with others (the proportional set size, bytes).
type process struct {
	name string
	pss  int64
}

func processes(t *testing.T) []process {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	var all []process
	for _, dir := range dirs {
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		rollup, err := os.ReadFile(dir + "/smaps_rollup")
		if err != nil || len(cmdline) == 0 {
			continue
		}
		p := process{name: filepath.Base(strings.SplitN(string(cmdline), "\x00", 2)[0])}
		for line := range strings.Lines(string(rollup)) {
			var kib int64
			if _, err := fmt.Sscanf(line, "Pss: %d kB", &kib); err == nil {
				p.pss = kib << 10
			}
		}
		if strings.HasPrefix(p.name, "containerd-shim") {
			p.name = "containerd-shim-wazero-v1"
		}
		all = append(all, p)
	}
	return all
}

func size(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

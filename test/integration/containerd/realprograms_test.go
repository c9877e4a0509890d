package containerd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// program is a published program and one way to call it. What it prints is what
// it prints in Node.js (its WASI class) with the same arguments.
type program struct {
	tool, version, file string
	args                []string
	stdin               string
	stdout              string
	stderr              string // a part
	status              int
}

const icepllTable = `
F_PLLIN:    12.000 MHz (given)
F_PLLOUT:   48.000 MHz (requested)
F_PLLOUT:   48.000 MHz (achieved)

FEEDBACK: SIMPLE
F_PFD:   12.000 MHz
F_VCO:  768.000 MHz

DIVR:  0 (4'b0000)
DIVF: 63 (7'b0111111)
DIVQ:  4 (3'b100)

FILTER_RANGE: 1 (3'b001)

`

func esbuild(p program) program {
	p.tool, p.version, p.file = "esbuild", "0.27.2", "esbuild.wasm"
	return p
}

func python(p program) program {
	p.tool, p.version, p.file = "python", "3.12.0", "dist/python.wasm"
	return p
}

func icepll(p program) program {
	p.tool, p.version, p.file = "nextpnr-ice40", "0.8.621", "gen/icepll.core.wasm"
	return p
}

// TestRealProgramsDoWhatTheyDoElsewhere runs programs in Go, C and C++ that
// others have published, as images with `ctr run`.
func TestRealProgramsDoWhatTheyDoElsewhere(t *testing.T) {
	c := testenv.StartContainerd(t, testenv.Newest)
	images := make(map[string]testenv.Image)
	for name, p := range map[string]program{
		"esbuild minifies": esbuild(program{
			args:   []string{"--loader=ts", "--minify"},
			stdin:  "let x: number = 1 + 2; enum E { A = 4 }; console.log(x, E.A)\n",
			stdout: `let x=3;var E=(e=>(e[e.A=4]="A",e))(E||{});console.log(x,4);` + "\n",
		}),
		"esbuild reports an error": esbuild(program{
			args: []string{"--loader=ts"}, stdin: "let x = ;\n",
			stderr: `[ERROR] Unexpected ";"`, status: 1,
		}),
		"Python computes and exits": python(program{
			args:   []string{"-c", `import sys,json,hashlib; print(json.dumps({"p":sys.platform,"h":hashlib.sha256(b"x").hexdigest()[:8],"n":2**100})); sys.exit(7)`},
			stdout: `{"p": "wasi", "h": "2d711642", "n": 1267650600228229401496703205376}` + "\n",
			status: 7,
		}),
		"Python raises": python(program{
			args:   []string{"-c", "1/0"},
			stderr: "ZeroDivisionError: division by zero", status: 1,
		}),
		"Python reads stdin": python(program{
			args:  []string{"-c", "import sys; print(sum(map(int, sys.stdin)))"},
			stdin: "1\n20\n300\n", stdout: "321\n",
		}),
		"icepll prints a table": icepll(program{
			args: []string{"-i", "12", "-o", "48"}, stdout: icepllTable,
		}),
		"icepll refuses": icepll(program{
			args:   []string{"-i", "12", "-o", "4800"},
			stderr: "PLL output frequency 4800.000 MHz is outside range 16 MHz - 275 MHz!", status: 1,
		}),
	} {
		img, ok := images[p.tool]
		if !ok {
			img = p.image(t)
			c.Import(t, img)
			images[p.tool] = img
		}
		t.Run(name, func(t *testing.T) { p.check(t, c, img) })
	}
}

func (p program) image(t *testing.T) testenv.Image {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Tool(t, p.tool, p.version), p.file))
	if err != nil {
		t.Fatal(err)
	}
	path := "/" + p.tool + ".wasm"
	return testenv.Image{
		Name:   "test.local/" + p.tool + ":" + p.version,
		Files:  map[string]testenv.File{path: {Data: data}, "/tmp": {Dir: true, Mode: 0o777}},
		Config: v1.ImageConfig{Entrypoint: []string{path}},
	}
}

func (p program) check(t *testing.T, c *testenv.Containerd, img testenv.Image) {
	args := append([]string{"run", "--rm", "--runtime", testenv.Runtime, img.Name, "program", img.Config.Entrypoint[0]}, p.args...)
	cmd := c.Command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if p.stdin != "" {
		// ctr forgets an end of its stdin that comes before the task exists.
		testenv.EventuallyWithin(t, testenv.CompileLimit, "running program", func() error {
			if out, err := c.TryCtr("task", "ls"); err != nil || !strings.Contains(out, "RUNNING") {
				return fmt.Errorf("ctr task ls says %q (%v)", out, err)
			}
			return nil
		})
		if _, err := io.WriteString(stdin, p.stdin); err != nil {
			t.Error(err)
		}
	}
	if err := stdin.Close(); err != nil {
		t.Error(err)
	}
	status := 0
	var exit *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if status != p.status || stdout.String() != p.stdout || !strings.Contains(stderr.String(), p.stderr) {
		t.Errorf("status %d, want %d\nstdout %q\n  want %q\nstderr %s", status, p.status, stdout.String(), p.stdout, stderr.String())
	}
}

package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
)

// sayWat writes a word of six bytes, the line feed included.
func sayWat(word string) string {
	return strings.Replace(helloWat, "hello", word, 1)
}

func (p *process) send(o job.Order, path string) {
	p.t.Helper()
	var file *os.File
	if path != "" {
		file = open(p.t, path)
	}
	must(p.t, p.control.Send(o, file))
}

func (p *process) report() job.Report {
	p.t.Helper()
	report, err := p.control.ReadReport()
	if err != nil {
		p.t.Fatalf("no report: %v, status %d\n%s", err, p.wait(), p.stderr.String())
	}
	return report
}

// expectReport compares kind and origin of code, and looks for a part of the
// message.
func (p *process) expectReport(kind job.ReportKind, use job.CodeUse, message string) {
	p.t.Helper()
	if r := p.report(); r.Kind != kind || r.Code != use || !strings.Contains(r.Message, message) || (r.Load > 0) != (kind == job.Ready) {
		p.t.Errorf("report %+v, want %s %s %q", r, kind, use, message)
	}
}

func TestCodeIsSharedPrivateOrCompiled(t *testing.T) {
	t.Parallel()
	module := wat(t, "hello", helloWat)
	for _, c := range []struct {
		origin  origin
		private bool
		use     job.CodeUse
	}{{warm, false, job.CodeShared}, {warm, true, job.CodePrivate}, {cold, false, job.CodeCompiled}} {
		p := launch(t, module, options{code: c.origin, job: job.Job{PrivateCode: c.private}})
		p.expectReport(job.Ready, c.use, "")
		if mapped := p.mapsFile(entryOf(t, module)); mapped != (c.use == job.CodeShared) {
			t.Errorf("%s: the entry is mapped for execution: %t", c.use, mapped)
		}
		p.letGo()
		p.expect(0, "hello\n")
	}
}

// mapsFile tells whether pages of a file can be executed by the process.
func (p *process) mapsFile(path string) bool {
	p.t.Helper()
	maps, err := os.ReadFile(p.proc("maps"))
	must(p.t, err)
	for line := range strings.Lines(string(maps)) {
		if fields := strings.Fields(line); strings.Contains(fields[1], "x") && strings.Contains(line, path) {
			return true
		}
	}
	return false
}

// TestGoMayComeFirst: the shim does not wait for the runner.
func TestGoMayComeFirst(t *testing.T) {
	t.Parallel()
	module := wat(t, "hello", helloWat)
	p := launch(t, module, options{code: byHand})
	p.send(job.Go, "")
	p.send(job.Code, entryOf(t, module))
	p.expectReport(job.Ready, job.CodeShared, "")
	p.expect(0, "hello\n")
}

func TestCodeOfAnotherModuleIsNeverExecuted(t *testing.T) {
	t.Parallel()
	module, other := wat(t, "hello", helloWat), wat(t, "other", sayWat("other"))
	p := launch(t, module, options{code: byHand})
	p.send(job.Code, entryOf(t, other))
	p.expectReport(job.Stale, "", "another module")
	p.send(job.Code, entryOf(t, module))
	p.letGo()
	p.expectReport(job.Ready, job.CodeShared, "")
	p.expect(0, "hello\n")
	// And without any code that fits.
	p = launch(t, module, options{code: byHand})
	p.letGo()
	p.send(job.Code, entryOf(t, other))
	p.expectReport(job.Stale, "", "another module")
	p.send(job.Code, entryOf(t, other))
	p.expectReport(job.Stale, "", "another module")
	p.send(job.NoCode, module)
	p.expectReport(job.Ready, job.CodeCompiled, "")
	p.expect(0, "hello\n")
}

// TestDamagedCodeIsStale: in each part of the entry, and not an entry at all.
func TestDamagedCodeIsStale(t *testing.T) {
	t.Parallel()
	module := wat(t, "hello", helloWat)
	good, err := os.ReadFile(entryOf(t, module))
	must(t, err)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	flipped := func(at int) []byte {
		b := append([]byte(nil), good...)
		b[at] ^= 4
		return b
	}
	for name, c := range map[string]struct {
		data   []byte
		reason string
	}{
		"empty":            {nil, "damaged"},
		"a module":         {[]byte("\x00asm\x01\x00\x00\x00"), "damaged"},
		"truncated":        {good[:len(good)-1], "bytes instead of"},
		"header":           {flipped(60), "damaged"},
		"version":          {flipped(256 + 8), "checksum of its prefix"},
		"offsets":          {flipped(256 + 20), "checksum of its prefix"},
		"code":             {flipped(4096), "checksum mismatch"},
		"sum of the code":  {flipped(len(good) - 13), "checksum mismatch"},
		"end":              {flipped(len(good) - 6), "end is malformed"},
		"sum of offsets":   {flipped(len(good) - 1), "checksum of its prefix"},
		"something behind": {append(append([]byte(nil), good...), good...), "bytes instead of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := write(strings.ReplaceAll(name, " ", "-"), c.data)
			p := launch(t, module, options{code: byHand})
			p.letGo()
			p.send(job.Code, bad)
			p.expectReport(job.Stale, "", c.reason)
			// Once more, then the module itself: the runner's own descriptor may be
			// closed by now.
			p.send(job.Code, bad)
			p.expectReport(job.Stale, "", c.reason)
			if name == "code" {
				p.send(job.NoCode, module)
				p.expectReport(job.Ready, job.CodeCompiled, "")
			} else {
				p.send(job.Code, entryOf(t, module))
				p.expectReport(job.Ready, job.CodeShared, "")
			}
			p.expect(0, "hello\n")
			if p.stderr.String() != "" {
				t.Errorf("stderr: %s", p.stderr.String())
			}
		})
	}
}

func TestWhatIsNoFileIsNoCode(t *testing.T) {
	t.Parallel()
	module := wat(t, "hello", helloWat)
	for _, path := range []string{"/dev/null", "/dev/zero", t.TempDir(), "/proc/self/maps"} {
		p := launch(t, module, options{code: byHand})
		p.send(job.Code, path)
		r := p.report()
		if r.Kind != job.Stale || r.Message == "" {
			t.Errorf("%s: report %+v", path, r)
		}
		p.send(job.NoCode, "")
		p.letGo()
		p.expectReport(job.Ready, job.CodeCompiled, "")
		p.expect(0, "hello\n")
	}
}

// TestModuleThatChangesUnderTheRunnerRunsAsWhatItIs: the code for the file as the
// shim has seen it is stale, and a second look finds the new one.
func TestModuleThatChangesUnderTheRunnerRunsAsWhatItIs(t *testing.T) {
	t.Parallel()
	module, other := wat(t, "hello", helloWat), wat(t, "other", sayWat("other"))
	was := entryOf(t, module)
	p := launch(t, module, options{code: byHand})
	p.send(job.Code, entryOf(t, other))
	p.expectReport(job.Stale, "", "another module") // so the file has been read
	content, err := os.ReadFile(other)
	must(t, err)
	must(t, os.WriteFile(module, content, 0o600))
	p.send(job.Code, was)
	p.expectReport(job.Stale, "", "another module")
	p.send(job.Code, entryOf(t, other))
	p.letGo()
	p.expectReport(job.Ready, job.CodeShared, "")
	p.expect(0, "other\n")
}

// TestModuleThatTheCompilerRefusesIsRefusedHereToo: what a runner says about a
// module with the code of another one, and alone.
func TestModuleThatCannotBeReadIsRefusedBeforeItsCodeIsLookedAt(t *testing.T) {
	t.Parallel()
	hello := wat(t, "hello", helloWat)
	content, err := os.ReadFile(hello)
	must(t, err)
	broken := filepath.Join(t.TempDir(), "broken.wasm")
	must(t, os.WriteFile(broken, content[:len(content)-3], 0o600))
	p := launch(t, broken, options{code: byHand})
	p.send(job.Code, entryOf(t, hello))
	p.expectReport(job.Failed, "", `module "/broken.wasm" is damaged: it ends in the middle of`)
	p.expect(126, "")
	// The export is the container's choice, about which the compiler knows nothing.
	p = launch(t, hello, options{job: job.Job{Export: "serve"}})
	p.expectReport(job.Failed, "", `does not export a function "serve"`)
	p.expect(126, "")
}

func TestShimThatEndsBeforeTheCodeComesEndsTheRunner(t *testing.T) {
	t.Parallel()
	p := launch(t, wat(t, "hello", helloWat), options{code: byHand})
	must(t, p.socket.Close())
	p.expect(126, "")
}

// TestOrdersOutOfTurnAreRefused: a runner that is ready takes no more code.
func TestOrdersOutOfTurnAreRefused(t *testing.T) {
	t.Parallel()
	module := wat(t, "hello", helloWat)
	p := startReady(t, module, options{})
	p.send(job.Code, entryOf(t, module))
	p.expectReport(job.Failed, "", `the shim sent "code"`)
	p.expect(126, "")
}

// TestEntryLeavesNoDescriptor: shared or not, damaged or not.
func TestEntryLeavesNoDescriptor(t *testing.T) {
	t.Parallel()
	module, other := wat(t, "guest", strings.Replace(guestTemplate, "BODY", sleepBody, 1)), wat(t, "other", helloWat)
	for _, private := range []bool{false, true} {
		p := launch(t, module, options{code: byHand, job: job.Job{PrivateCode: private}})
		p.send(job.Code, entryOf(t, other))
		p.expectReport(job.Stale, "", "")
		p.send(job.Code, entryOf(t, module))
		p.report()
		p.letGo()
		p.awaitStdout("ready\n")
		links, err := filepath.Glob(p.proc("fd/*"))
		must(t, err)
		for _, link := range links {
			if target, err := os.Readlink(link); err == nil && (strings.Contains(target, "entry") || strings.Contains(target, ".wasm")) {
				t.Errorf("private %t: descriptor %s is %s", private, filepath.Base(link), target)
			}
		}
	}
}

// TestGuestsHaveTheirDataFromTheStart: on both ways, and each its own.
func TestGuestsHaveTheirDataFromTheStart(t *testing.T) {
	t.Parallel()
	module := guest(t, "guest", `(data (i32.const 1030) "more\n") (func (export "_start")
      (drop (call $print (i32.const 1024) (i32.const 11)))
      (i32.store8 (i32.const 1024) (i32.const 82)))`)
	for _, c := range []origin{warm, cold, warm} {
		run(t, module, options{code: c}).expect(0, "ready\nmore\n")
	}
}

// TestRunnersOfOneModuleShareItsCode: the kernel counts a page that four of them
// use as a quarter of a page for each.
func TestRunnersOfOneModuleShareItsCode(t *testing.T) {
	t.Parallel()
	var functions, calls strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&functions, "(func $f%d (result i32) (i32.add (i32.const %d) (memory.size)))\n", i, i)
		fmt.Fprintf(&calls, "(drop (call $f%d))\n", i)
	}
	module := guest(t, "guest", functions.String()+`(func (export "_start") `+calls.String()+` (call $ready) (loop $l (br $l)))`)
	var all []*process
	for range 4 {
		p := startReady(t, module, options{})
		p.letGo()
		p.awaitStdout("ready\n")
		must(t, p.cmd.Process.Signal(syscall.SIGSTOP)) // it spins
		all = append(all, p)
	}
	for _, p := range all {
		rss, pss := p.mapped(entryOf(t, module))
		if rss < 16 || pss > rss/2 {
			t.Errorf("%d KiB of the entry are resident, which count as %d", rss, pss)
		}
	}
}

// mapped is how much of a file is resident in the process, in KiB, and what that
// counts if it is divided among those who use it.
func (p *process) mapped(path string) (rss, pss int) {
	p.t.Helper()
	smaps, err := os.ReadFile(p.proc("smaps"))
	must(p.t, err)
	inside := false
	for line := range strings.Lines(string(smaps)) {
		fields := strings.Fields(line)
		if !strings.HasSuffix(fields[0], ":") {
			inside = fields[len(fields)-1] == path
		}
		var n int
		if _, err := fmt.Sscan(fields[1], &n); err == nil && inside {
			switch fields[0] {
			case "Rss:":
				rss += n
			case "Pss:":
				pss += n
			}
		}
	}
	return rss, pss
}

package runner

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/wasmbin"
)

func explainParseError(name string, err error) error {
	var unsupported *wasmbin.UnsupportedError
	if errors.As(err, &unsupported) {
		return unsupportedFeature(name, unsupported.Feature)
	}
	return fmt.Errorf("module %q is damaged: %w", name, err)
}

func unsupportedFeature(name, feature string) error {
	return fmt.Errorf("module %q uses %s, which wazero does not support; build it without", name, feature)
}

// disabledFeature is how wazero says that a proposal is off.
var disabledFeature = regexp.MustCompile(`feature "([^"]+)" is disabled`)

// opcodes of proposals that wazero does not know, by how it complains about them.
var unknownOpcodes = []struct {
	pattern *regexp.Regexp
	feature string
}{
	{regexp.MustCompile(`invalid (instruction|opcode) 0x(06|07|08|09|0a|18|19|1f)\b`), "exceptions"},
	{regexp.MustCompile(`(vector|simd|SIMD).*0x1[0-9a-f]{2}\b`), "relaxed SIMD"},
	{regexp.MustCompile(`0xfb\b`), "garbage-collected types (the GC proposal)"},
}

// explainCompileError turns wazero's words into a sentence about the file.
func explainCompileError(name string, err error) error {
	text := err.Error()
	if m := disabledFeature.FindStringSubmatch(text); m != nil {
		return unsupportedFeature(name, fmt.Sprintf("the feature %q", m[1]))
	}
	for _, o := range unknownOpcodes {
		if o.pattern.MatchString(text) {
			return unsupportedFeature(name, o.feature)
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	return fmt.Errorf("module %q is damaged, or uses a feature that wazero does not support: %s", name, text)
}

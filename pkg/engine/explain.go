package engine

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/engine/wasmbin"
)

func explainParseError(name string, err error) error {
	var unsupported *wasmbin.UnsupportedError
	if errors.As(err, &unsupported) {
		return unsupportedFeature(name, unsupported.Feature)
	}
	return fmt.Errorf("module %q is damaged: %w", name, err)
}

func unsupportedFeature(name, feature string) error {
	return fmt.Errorf("module %q uses %s, which this runtime does not support; build it without", name, feature)
}

// disabledFeature is how wazero says that a proposal is off.
const disabledFeature = `feature "([^"]+)" is disabled`

// exceptionOpcode is wazero's complaint about an instruction that exceptions
// brought.
const exceptionOpcode = `invalid instruction 0x([6-9]|18|19|1f)\b`

// unsupportedTargets are the features that compilers record in a module, by
// their LLVM names, which wazero does not know by name either.
var unsupportedTargets = map[string]string{
	"exception-handling": "exceptions",
	"relaxed-simd":       "relaxed SIMD",
	"gc":                 "garbage-collected types (the GC proposal)",
	"memory64":           "64-bit memory (memory64)",
	"multimemory":        "several memories (multi-memory)",
	"custom-page-sizes":  "memory pages of another size (custom-page-sizes)",
	"shared-everything":  "shared-everything threads",
	"wide-arithmetic":    "wide arithmetic",
}

// explainCompileError turns wazero's words into a sentence about the file. The
// outline is of a module that wazero refuses, though it could be read.
func explainCompileError(name string, err error, outline *wasmbin.Module) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	// Compiled here, not in each process that starts.
	if m := regexp.MustCompile(disabledFeature).FindStringSubmatch(text); m != nil {
		return unsupportedFeature(name, fmt.Sprintf("the feature %q", m[1]))
	}
	if regexp.MustCompile(exceptionOpcode).MatchString(text) {
		return unsupportedFeature(name, "exceptions")
	}
	for _, target := range outline.TargetFeatures {
		if feature, ok := unsupportedTargets[target]; ok {
			return unsupportedFeature(name, feature)
		}
	}
	return fmt.Errorf("module %q is damaged, or uses a feature that this runtime does not support: %s", name, text)
}

package main

import (
	"debug/buildinfo"
	"os"
	"strings"
	"testing"
)

// TestProcessesDoNotReadTheTableOfMounts. The directives of the command apply to its
// test, too.
func TestProcessesDoNotReadTheTableOfMounts(t *testing.T) {
	t.Parallel()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range info.Settings {
		if setting.Key == "DefaultGODEBUG" && strings.Contains(setting.Value, "containermaxprocs=0") && strings.Contains(setting.Value, "updatemaxprocs=0") {
			return
		}
	}
	t.Errorf("the Go runtime looks for its share of the CPUs: %v", info.Settings)
}

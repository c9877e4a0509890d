package main

import (
	"fmt"
	"strings"
)

// form is what a runtime wants of a program.
type form string

const (
	wasm   form = "wasm"
	native form = "native"
)

// Variant is a runtime with options: what is compared.
type Variant struct {
	Name    string
	Runtime string
	Form    form
	// Launcher is the one of our shim, "" for other shims.
	Launcher string `json:",omitempty"`
}

// Names that others refer to.
const (
	floorName     = "floor"
	frameworkName = "framework"
	runcName      = "runc"
	wazeroRunc    = "wazero, runc launcher"
	wazeroSelf    = "wazero, direct launcher"
)

// variants is the table of what is compared in each run. What the command line
// names comes behind it.
var variants = []Variant{
	{Name: floorName, Runtime: "io.containerd.floor.v1", Form: native},
	{Name: frameworkName, Runtime: "io.containerd.framework.v1", Form: native},
	{Name: runcName, Runtime: "io.containerd.runc.v2", Form: native},
	{Name: wazeroRunc, Runtime: "io.containerd.wazero.v1", Form: wasm, Launcher: "runc"},
	{Name: wazeroSelf, Runtime: "io.containerd.wazero.v1", Form: wasm, Launcher: "direct"},
}

// references are the shims that do nothing, which are built here: sources in the
// directory of the name.
var references = []string{floorName, frameworkName}

// options are what our shim is asked for, in TOML; other shims get none.
func (v Variant) options(cache string) string {
	if v.Launcher == "" {
		return ""
	}
	return fmt.Sprintf("launcher = %q\ncache_dir = %q\n", v.Launcher, cache)
}

// others is the flag for runtimes beyond the table.
type others []Variant

func (o *others) String() string { return "" }

// Set implements flag.Value for NAME=RUNTIME[,native].
func (o *others) Set(arg string) error {
	name, runtime, ok := strings.Cut(arg, "=")
	if !ok || name == "" || runtime == "" {
		return fmt.Errorf("want NAME=RUNTIME or NAME=RUNTIME,native")
	}
	v := Variant{Name: name, Runtime: runtime, Form: wasm}
	if r, ok := strings.CutSuffix(runtime, ","+string(native)); ok {
		v.Runtime, v.Form = r, native
	}
	*o = append(*o, v)
	return nil
}

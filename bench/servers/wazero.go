//go:build never

package main

// Pins the version of wazero, whose own command is built from it.
import _ "github.com/tetratelabs/wazero/cmd/wazero"

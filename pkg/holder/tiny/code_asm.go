//go:build amd64 || arm64

package tiny

import "unsafe"

// The code itself, which is never called here.

//lint:ignore U1000 copied, see sleepAddress
func sleepProgram()

//lint:ignore U1000 copied, see enterAddress
func enterProgram()

// Where it begins: a Go function value would lead to a wrapper.
func sleepAddress() unsafe.Pointer
func enterAddress() unsafe.Pointer

var sleepCode, enterCode = sleepAddress, enterAddress

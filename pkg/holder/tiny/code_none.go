//go:build !amd64 && !arm64

package tiny

import "unsafe"

var sleepCode, enterCode func() unsafe.Pointer

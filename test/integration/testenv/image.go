package testenv

import "github.com/containerd-wazero/containerd-shim-wazero/test/integration/image"

// Image and File are what tests make images of.
type (
	Image = image.Image
	File  = image.File
	// Device is a node in one.
	Device = image.Device
)

package artifact

import "strings"

// Media types. The first two are those of the CNCF's "Wasm OCI Artifact layout".
const (
	typeConfig = "application/vnd.wasm.config.v0+json"
	typeModule = "application/wasm"
)

// moduleTypes are those of layers that are a module, by who writes them.
var moduleTypes = []string{
	typeModule, // wkg, wash, cargo-component, oras
	"application/vnd.bytecodealliance.wasm.component.layer.v0+wasm", // runwasi's oci-tar-builder, for modules too
	"application/vnd.wasm.content.layer.v1+wasm",                    // wasm-to-oci, oci-client
	"application/vnd.module.wasm.content.layer.v1+wasm",             // solo.io, Istio
}

// isModule tells whether a layer is meant to be a module. How it is compressed,
// which some append to the type, its content tells.
func isModule(mediaType string) bool {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.TrimSpace(mediaType)
	for _, suffix := range []string{"", "+gzip", "+zstd", "+encrypted"} {
		for _, t := range moduleTypes {
			if strings.EqualFold(mediaType, t+suffix) {
				return true
			}
		}
	}
	return false
}

// isFileSystem tells whether containerd makes a part of a root file system of a
// layer.
func isFileSystem(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.") ||
		strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.") ||
		strings.HasPrefix(mediaType, "application/vnd.erofs.layer.")
}

// isImageConfig tells whether a configuration is that of an image with a root file
// system: it has a command, environment and so on.
func isImageConfig(mediaType string) bool {
	return mediaType == "application/vnd.oci.image.config.v1+json" ||
		mediaType == "application/vnd.docker.container.image.v1+json"
}

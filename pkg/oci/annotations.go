package oci

import (
	"strings"
)

// Annotations by which crun is told to run Wasm (crun(1), "Running OCI
// containers with wasm"). The first one wins there, and so it does here.
const (
	annotationHandler = "run.oci.handler"
	annotationVariant = "module.wasm.image/variant"
)

// annotationContainerType marks the pod sandbox of Kubernetes, which inherits
// the annotations of its pod and always runs a native program.
const annotationContainerType = "io.kubernetes.cri.container-type"

// demand is an annotation which wants that the container runs Wasm; the zero
// value leaves it to the content of the file.
type demand struct {
	name, value string
}

func (d demand) String() string { return "annotation " + d.name + "=" + d.value }

// demandOf reads crun's annotations for a program. The "smart" values demand
// Wasm of files that are named so and leave all others, as the sidecars of the
// pod, to the content. Any other handler is something that we do not have.
func demandOf(annotations map[string]string, program string) (demand, error) {
	if annotations[annotationContainerType] == "sandbox" {
		return demand{}, nil
	}
	if value := annotations[annotationHandler]; value != "" {
		d := demand{annotationHandler, value}
		switch value {
		case "wasm", "wasmedge", "wasmer", "wasmtime", "wamr", "wazero":
			return d, nil
		case "wasm-smart":
			return d.ifNamedWasm(program), nil
		}
		return demand{}, invalidf("annotation %s=%q: this runtime has no such handler: remove it, or set it to wasm", annotationHandler, value)
	}
	switch value := annotations[annotationVariant]; value {
	case "compat":
		return demand{annotationVariant, value}, nil
	case "compat-smart":
		return demand{annotationVariant, value}.ifNamedWasm(program), nil
	}
	return demand{}, nil
}

func (d demand) ifNamedWasm(program string) demand {
	name, _, _ := strings.Cut(strings.ToLower(program), "#")
	if strings.HasSuffix(name, ".wasm") || strings.HasSuffix(name, ".wat") {
		return d
	}
	return demand{}
}

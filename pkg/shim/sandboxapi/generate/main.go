// Command generate writes sandbox.pb.go: the messages of containerd's Sandbox
// service, from the descriptor in containerd's API module.
//
// That module's own package has the same messages, but also links grpc-go, with
// net/http and html/template, into every process of the shim's binary.
package main

import (
	"log"
	"os"

	api "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// importPath of the package that is written.
const importPath = "github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/sandboxapi"

func main() {
	if err := generate(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func generate(out string) error {
	source := api.File_runtime_sandbox_v1_sandbox_proto
	file := protodesc.ToFileDescriptorProto(source)
	file.Options.GoPackage = proto.String(importPath + ";sandboxapi")
	file.Service = nil // service.go has it, for ttrpc
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{source.Path()},
		ProtoFile:      append(dependencies(source, map[string]bool{}), file),
	}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return err
	}
	internal_gengo.GenerateFile(plugin, plugin.FilesByPath[source.Path()])
	response := plugin.Response()
	if response.Error != nil {
		log.Fatal(*response.Error)
	}
	return os.WriteFile(out, []byte(response.File[0].GetContent()), 0o644)
}

// dependencies of a file, those without imports of their own first.
func dependencies(file protoreflect.FileDescriptor, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	var all []*descriptorpb.FileDescriptorProto
	imports := file.Imports()
	for i := range imports.Len() {
		dependency := imports.Get(i).FileDescriptor
		if seen[dependency.Path()] {
			continue
		}
		seen[dependency.Path()] = true
		all = append(all, dependencies(dependency, seen)...)
		all = append(all, protodesc.ToFileDescriptorProto(dependency))
	}
	return all
}

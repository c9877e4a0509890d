package main

import "strings"

// kubernetes is a control plane, a kubelet and kubectl.
func kubernetes(version string) tool {
	const pkg = "k8s.io/kubernetes/cmd/"
	major, minor, _ := strings.Cut(version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	set := make(map[string]string)
	for _, p := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		set[p+".gitVersion"] = "v" + version
		set[p+".gitMajor"] = major
		set[p+".gitMinor"] = minor
		set[p+".gitTreeState"] = "clean"
	}
	return tool{"kubernetes", version, "building", "7 min", goModule{
		module:   "k8s.io/kubernetes",
		replaces: stagingModules,
		commands: map[string]string{
			"kube-apiserver":          pkg + "kube-apiserver",
			"kube-controller-manager": pkg + "kube-controller-manager",
			"kube-scheduler":          pkg + "kube-scheduler",
			"kubectl":                 pkg + "kubectl",
			"kubelet":                 pkg + "kubelet",
		},
		set: set,
	}.make}
}

// stagingModules are developed inside k8s.io/kubernetes, which replaces them by
// directories; published, they carry its version with the major number 0.
func stagingModules(version string) []string {
	_, rest, _ := strings.Cut(version, ".")
	var lines []string
	for _, name := range strings.Fields(`
		api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider
		cluster-bootstrap code-generator component-base component-helpers controller-manager
		cri-api cri-client cri-streaming csi-translation-lib dynamic-resource-allocation endpointslice
		externaljwt kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler kubectl kubelet
		metrics mount-utils pod-security-admission sample-apiserver sample-cli-plugin
		sample-controller streaming`) {
		lines = append(lines, "k8s.io/"+name+" => k8s.io/"+name+" v0."+rest)
	}
	return lines
}

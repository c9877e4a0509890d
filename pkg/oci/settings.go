package oci

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/network"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen"
)

// annotationPrefix begins the names of this runtime's own annotations. What
// follows is a name of ours, and may be followed by "/" and the name of a container
// of the pod, to which it is restricted then: Kubernetes gives every container
// the annotations of its pod.
const annotationPrefix = "io.containerd.wazero.v1."

// annotationContainerName is the name of a container in its pod (containerd's CRI
// plugin sets it).
const annotationContainerName = "io.kubernetes.cri.container-name"

// settings are what a container may ask for by annotations of ours. They can only
// give a container less than its node allows.
type settings struct {
	// memoryLimit in bytes; 0 is none.
	memoryLimit int64
	privateCode bool
	// preopens are the directories that the guest sees; none stands for "/".
	preopens []job.Preopen
	noEnv    bool
	network  network.Policy
	// listeners are those of the annotation, if listens is true.
	listeners   []listen.Socket
	listens     bool
	coarseClock bool
	graceful    bool
	// workers is how many requests a server of ours answers at a time; 0 is no server.
	workers int
	// patience is that of job.CGI; 0 is the default.
	patience time.Duration
}

// setters read the value of each annotation. An error says what to write.
var setters = map[string]func(s *settings, value string) error{
	"memory-limit": func(s *settings, value string) error {
		if strings.HasSuffix(value, "i") {
			value += "B" // as Kubernetes writes it
		}
		n, err := units.RAMInBytes(value)
		if err != nil || n <= 0 {
			return invalidf(`want a size such as "64Mi"`)
		}
		s.memoryLimit = n
		return nil
	},
	"private-code": func(s *settings, value string) error {
		if value != "true" && value != "false" {
			return invalidf(`want "true" or "false"`)
		}
		s.privateCode = value == "true"
		return nil
	},
	"preopens": func(s *settings, value string) (err error) {
		s.preopens, err = parsePreopens(value)
		return err
	},
	"listen": func(s *settings, value string) (err error) {
		s.listeners, err = listen.Parse(value)
		s.listens = true
		return err
	},
	"env": func(s *settings, value string) error {
		if value != "all" && value != "none" {
			return invalidf(`want "all" or "none"`)
		}
		s.noEnv = value == "none"
		return nil
	},
	"network": func(s *settings, value string) error {
		n, ok := network.Parse(value)
		if !ok || value == "" {
			return invalidf(`want "full", "listen" or "none"`)
		}
		s.network = n
		return nil
	},
	"clock": func(s *settings, value string) error {
		if value != "fine" && value != "coarse" {
			return invalidf(`want "fine" or "coarse"`)
		}
		s.coarseClock = value == "coarse"
		return nil
	},
	"cgi": func(s *settings, value string) (err error) {
		s.workers, err = parseWorkers(value)
		return err
	},
	"cgi-timeout": func(s *settings, value string) (err error) {
		s.patience, err = parsePatience(value)
		return err
	},
	"stop": func(s *settings, value string) error {
		if value != "immediate" && value != "graceful" {
			return invalidf(`want "immediate" or "graceful"`)
		}
		s.graceful = value == "graceful"
		return nil
	},
}

// settingsOf reads the annotations of ours. One that is not known is an error: it
// is written for this runtime alone, so it is a typing error or wants something
// that this version does not do, as a restriction perhaps.
func settingsOf(annotations map[string]string) (settings, error) {
	var s settings
	if annotations[annotationContainerType] == "sandbox" {
		return s, nil // it has the annotations of all containers of the pod
	}
	var ours, restricted []string
	for name := range annotations {
		if !strings.HasPrefix(name, annotationPrefix) {
			continue
		}
		if strings.Contains(name, "/") {
			restricted = append(restricted, name)
		} else {
			ours = append(ours, name)
		}
	}
	slices.Sort(ours)
	slices.Sort(restricted)
	for _, name := range append(ours, restricted...) { // what is for one container wins
		short, container, isRestricted := strings.Cut(strings.TrimPrefix(name, annotationPrefix), "/")
		set, ok := setters[short]
		if !ok {
			return s, invalidf("annotation %q: this version of the runtime has none of that name, it knows %s: correct it, or install another version",
				name, strings.Join(slices.Sorted(maps.Keys(setters)), ", "))
		}
		apply := &s
		if isRestricted && container != annotations[annotationContainerName] {
			apply = &settings{} // only to check the value
		}
		if err := set(apply, annotations[name]); err != nil {
			return s, invalidf("annotation %s=%q: %v", name, annotations[name], err)
		}
	}
	return s, nil
}

// bound is the lower one of the container's memory limit and that of the
// annotation; 0 is none.
func (s settings) bound(limit int64) int64 {
	if s.memoryLimit > 0 && (limit == 0 || s.memoryLimit < limit) {
		return s.memoryLimit
	}
	return limit
}

package oci

import (
	"strconv"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/wasi/listen"
)

const (
	// defaultWorkers and mostWorkers are how many requests are answered at a time.
	defaultWorkers, mostWorkers = 16, 128
	// defaultPatience is how long nothing may happen, mostPatience what can be asked for.
	defaultPatience, mostPatience = time.Minute, time.Hour
	// threadsOfServer and threadsPerWorker are how many threads a runner has at most that
	// serves: a worker, and another that takes over Go's other work while it waits.
	threadsOfServer, threadsPerWorker = 12, 2
)

// parseWorkers reads the annotation cgi. 0 is no server.
func parseWorkers(value string) (int, error) {
	switch value {
	case "on":
		return defaultWorkers, nil
	case "off":
		return 0, nil
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n < 1 || n > mostWorkers || strconv.FormatUint(n, 10) != value {
		return 0, invalidf(`want "on", "off", or how many requests are answered at a time: 1 to %d`, mostWorkers)
	}
	return int(n), nil
}

func parsePatience(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < time.Second || d > mostPatience {
		return 0, invalidf(`want a time from "1s" to "1h", such as "30s"`)
	}
	return d, nil
}

// cgi is how a container's first process serves requests, or nil.
func (p *planner) cgi(listeners []listen.Socket) (*job.CGI, error) {
	const name = "annotation " + annotationPrefix + "cgi"
	if p.settings.workers == 0 || !p.first {
		return nil, nil
	}
	if len(listeners) == 0 {
		return nil, invalidf("%s makes a server, but there is nothing to listen at: add the annotation %slisten, or %s", name, annotationPrefix, listen.Variable)
	}
	for _, l := range listeners {
		if l.Network == "udp" {
			return nil, invalidf("%s makes a server of HTTP, which %q cannot be: use tcp:// or unix://", name, l)
		}
	}
	workers, err := p.affordable(p.settings.workers)
	if err != nil {
		return nil, err
	}
	patience := p.settings.patience
	if patience == 0 {
		patience = defaultPatience
	}
	return &job.CGI{Workers: workers, Patience: patience.Milliseconds()}, nil
}

// affordable is how many workers the container's limit of threads has room for. A Go
// program that cannot start a thread ends.
func (p *planner) affordable(workers int) (int, error) {
	pids := p.resources().Pids
	if pids == nil || pids.Limit == nil || *pids.Limit <= 0 { // none
		return workers, nil
	}
	limit := *pids.Limit
	most := (limit - threadsOfServer) / threadsPerWorker
	if most < 1 {
		return 0, invalidf("linux.resources.pids.limit %d: a server by CGI needs %d: raise it", limit, threadsOfServer+threadsPerWorker)
	}
	return int(min(int64(workers), most)), nil
}

package cgroup

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/protofields"
)

// reader reads the files of a cgroup. What is not there, because a controller is not,
// is 0 or empty. The first error of another kind is kept, and ends the reading.
type reader struct {
	dir string
	max uint64 // what "max" means
	err error
}

// text of a file, and whether it is there.
func (r *reader) text(file string) (string, bool) {
	if r.err != nil || r.dir == "" {
		return "", false
	}
	text, err := cgroupfs.Read(r.dir, file)
	if err != nil && !isMissing(err) {
		r.err = err
	}
	return text, err == nil
}

// number is that of a file with nothing else.
func (r *reader) number(file string) uint64 {
	text, ok := r.text(file)
	if !ok {
		return 0
	}
	return r.parse(file, strings.TrimSpace(text))
}

// parse reads a number of a file. What the kernel counts below zero for a moment is 0.
func (r *reader) parse(file, text string) uint64 {
	if text == "max" {
		return r.max
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err == nil {
		return n
	}
	if _, signed := strconv.ParseInt(text, 10, 64); signed == nil {
		return 0
	}
	r.fail(file, err)
	return 0
}

func (r *reader) fail(file string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("read %s/%s: %w", r.dir, file, err)
	}
}

// field is a number in a message, by its name in a file.
type field struct {
	name   string
	number protofields.Number
}

// pairs encodes the fields of a file of names and numbers, and tells whether it is
// there.
func (r *reader) pairs(file string, fields []field) ([]byte, bool) {
	text, ok := r.text(file)
	var message []byte
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		for _, f := range fields {
			if f.name == name {
				message = protofields.AppendNumber(message, f.number, r.parse(file, value))
			}
		}
	}
	return message, ok
}

// pair is one number of such a file.
func (r *reader) pair(file, name string) uint64 {
	text, _ := r.text(file)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return r.parse(file, strings.TrimSuffix(value, "\n"))
		}
	}
	return 0
}

// rdma encodes the limits, or what is in use, of devices that have both figures.
func (r *reader) rdma(file string) (entries [][]byte) {
	text, _ := r.text(file)
	of := reader{dir: r.dir, max: math.MaxUint32}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 3 {
			continue
		}
		entry := protofields.AppendString(nil, 1, words[0])
		for _, word := range words[1:] {
			switch name, value, _ := strings.Cut(word, "="); name {
			case "hca_handle":
				entry = protofields.AppendNumber(entry, 2, of.parse(file, value))
			case "hca_object":
				entry = protofields.AppendNumber(entry, 3, of.parse(file, value))
			}
		}
		entries = append(entries, entry)
	}
	if r.err == nil {
		r.err = of.err
	}
	return entries
}

func rdmaStat(current, limit [][]byte) []byte {
	var message []byte
	for i, entries := range [][][]byte{current, limit} {
		for _, entry := range entries {
			message = protofields.AppendString(message, protofields.Number(i+1), entry)
		}
	}
	return message
}

// pids encodes how many processes there are, and may be.
func (r *reader) pids() []byte {
	message := protofields.AppendNumber(nil, 1, r.number("pids.current"))
	return protofields.AppendNumber(message, 2, r.number("pids.max"))
}

func metrics(version string, message []byte) Figures {
	return Figures{TypeURL: "io.containerd.cgroups." + version + ".Metrics", Value: message}
}

package cgroup

import "github.com/containerd-wazero/containerd-shim-wazero/pkg/cgroup/cgroupfs"

// members are the processes in a cgroup and below.
func members(dir string) ([]int, error) {
	if err := checkExists(dir); err != nil {
		return nil, err
	}
	var pids []int
	for _, below := range cgroupfs.Tree(dir) {
		pids = append(pids, cgroupfs.Members(below)...)
	}
	return pids, nil
}

package cgroupfs

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long killed processes may take to leave. It is less than
// containerd gives the delete helper.
const patience = 2 * time.Second

// Remove removes a cgroup, the directories of which are dirs, one per hierarchy,
// with those below it. Their members are killed. What is not there is no error.
func Remove(dirs ...string) error {
	left, err := removeAll(dirs, rmdir)
	wait := time.Millisecond
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); wait = min(2*wait, 100*time.Millisecond) {
		for _, dir := range left {
			for _, below := range Tree(dir) {
				Kill(below)
			}
		}
		for _, dir := range left { // after all are killed: of v1 only one is the freezer
			for _, below := range Tree(dir) {
				_ = Write(below, "freezer.state", "THAWED") // else they cannot die
			}
		}
		time.Sleep(wait)
		left, err = removeAll(left, removeTree)
	}
	return err
}

// removeAll returns those that could not be removed, and why.
func removeAll(dirs []string, remove func(string) error) (left []string, why error) {
	for _, dir := range dirs {
		if err := remove(dir); err != nil {
			left = append(left, dir)
			why = errors.Join(why, err)
		}
	}
	return left, why
}

func removeTree(top string) error {
	var first error
	for _, dir := range slices.Backward(Tree(top)) {
		if err := rmdir(dir); first == nil {
			first = err
		}
	}
	return first
}

func rmdir(dir string) error {
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

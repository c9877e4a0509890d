// Package noop is the program that shims without containers run: it says what the
// programs of the benchmark say, and takes nothing.
package noop

import (
	"errors"
	"os"
	"strings"
)

// Run says the word of a container to its stdout, which is a FIFO that containerd's
// client reads, and tells whether the program has ended with it: one whose id begins
// with "idle" goes on until it is killed.
func Run(id, stdout string) (ended bool, err error) {
	if strings.HasPrefix(id, "idle") {
		return false, say(stdout, "idle\n")
	}
	return true, say(stdout, "hello\n")
}

func say(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Command sh is a shell for scripts of one word: it runs the program of that name
// in PATH. Any other script is busybox's.
//
// Debian's busybox runs what it has itself, whatever is in PATH, so a test that
// masks a program would see nothing of it.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

var word = regexp.MustCompile(`^[a-z]+$`)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "-c" && word.MatchString(os.Args[2]) {
		name := os.Args[2]
		if errors.Is(run(name), syscall.EACCES) {
			fmt.Fprintf(os.Stderr, "%s: %s: Permission denied\n", os.Args[0], name)
			os.Exit(126)
		}
	}
	err := syscall.Exec("/bin/busybox", os.Args, os.Environ())
	fmt.Fprintf(os.Stderr, "%s: busybox: %v\n", os.Args[0], err)
	os.Exit(126)
}

// run becomes the first program of a name that can be executed. Otherwise the
// error tells of one that cannot be, if there is any.
func run(name string) error {
	var refused error
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		err := syscall.Exec(filepath.Join(dir, name), []string{name}, os.Environ())
		if errors.Is(err, syscall.EACCES) {
			refused = err
		}
	}
	return refused
}

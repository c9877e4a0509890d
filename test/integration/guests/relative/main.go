// Command relative shows that relative paths of a Go guest mean its working
// directory: it prints that directory and then the files in it.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "relative:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	fmt.Println(dir)
	found, err := os.ReadDir(".")
	if err != nil {
		return err
	}
	for _, e := range found {
		fmt.Println(e.Name())
	}
	return nil
}

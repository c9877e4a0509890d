// Command narrow tells what it can do with its directories, environment and clock:
//
//	narrow [PATH...]   read each, and write to a file "new" in it
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	for _, path := range os.Args[1:] {
		_, read := os.ReadDir(path)
		write := os.WriteFile(filepath.Join(path, "new"), []byte("x"), 0o666)
		fmt.Printf("%s: read %s, write %s\n", path, result(read), result(write))
	}
	fmt.Println("variables:", len(os.Environ()))
	clock := "coarse"
	for range 100 {
		if time.Now().Nanosecond()%int(time.Millisecond) != 0 {
			clock = "fine"
		}
	}
	fmt.Println("clock:", clock)
}

// result is an error's number, or "ok".
func result(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

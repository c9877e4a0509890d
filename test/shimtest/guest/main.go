// Command guest is the program that shimtest runs in its containers, compiled to
// Wasm: shimtest's own commands, but for what a WASI program cannot do.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/shimtest/testbin"
)

func main() {
	if filepath.Base(os.Args[0]) == "forever" {
		forever(os.Args[1:])
	}
	testbin.Main()
}

// forever prints its arguments and waits to be killed. The original waits for a
// signal; WASI has none, and Go's runtime calls that a deadlock.
func forever(args []string) {
	if len(args) > 0 {
		fmt.Println(strings.Join(args, " "))
	}
	for {
		time.Sleep(time.Hour)
	}
}

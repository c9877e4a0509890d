// Command hello greets from a container that holds nothing but this program.
package main

import (
	"fmt"
	"runtime"
)

func main() {
	fmt.Printf("Hello from Go, built for %s/%s\n", runtime.GOOS, runtime.GOARCH)
}

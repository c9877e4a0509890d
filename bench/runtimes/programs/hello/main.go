// Command hello says a word; after "idle" it does nothing until it is killed.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	fmt.Println(os.Args[1])
	for os.Args[1] == "idle" {
		time.Sleep(time.Hour)
	}
}

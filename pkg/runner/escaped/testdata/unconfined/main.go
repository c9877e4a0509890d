// The attacks of package escaped without anything that holds them, to see that
// they are some. Without arguments it lists their names, a line each, those that
// may end the process behind a tab.
package main

import (
	"fmt"
	"os"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/escaped"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(escaped.Main(os.Args[1:], os.Stdout))
	}
	for _, a := range escaped.Attacks() {
		if a.Ends {
			fmt.Print("\t")
		}
		fmt.Println(a.Name)
	}
}

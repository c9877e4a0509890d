// Command server is the program that is measured: an ordinary HTTP server, the same as a
// module and natively.
package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/containerd-wazero/containerd-shim-wazero/bench/servers/bodies"
)

func main() {
	for path, body := range bodies.All() {
		length := strconv.Itoa(len(body))
		http.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", length)
			w.Write(body)
		})
	}
	l, err := listen()
	if err == nil {
		err = http.Serve(l, nil)
	}
	fmt.Fprintln(os.Stderr, "server:", err)
	os.Exit(1)
}

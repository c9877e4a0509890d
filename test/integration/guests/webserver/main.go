// Command webserver is an ordinary HTTP server that finds its listeners open.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello from", r.URL.Path) })
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	http.HandleFunc("/environ", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, strings.Join(os.Environ(), "\n")) })
	first, _ := strconv.Atoi(os.Getenv("LISTEN_FDS_START"))
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	failed := make(chan error)
	for i := range count {
		l, err := net.FileListener(os.NewFile(uintptr(first+i), "listener"))
		if err != nil {
			fmt.Fprintln(os.Stderr, "webserver:", err)
			os.Exit(1)
		}
		go func() { failed <- http.Serve(l, nil) }()
	}
	fmt.Println("serving")
	fmt.Fprintln(os.Stderr, "webserver:", <-failed)
	os.Exit(1)
}

// Command webserver is an ordinary HTTP server that finds its listeners open. When one
// accepts no more, it serves what it has begun to.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello from", r.URL.Path) })
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	http.HandleFunc("/environ", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, strings.Join(os.Environ(), "\n")) })
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "the first half")
		w.(http.Flusher).Flush()
		time.Sleep(8 * time.Second) // who wants to do something in between may be slow
		fmt.Fprintln(w, "the second half")
	})
	server := new(http.Server)
	first, _ := strconv.Atoi(os.Getenv("LISTEN_FDS_START"))
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	failed := make(chan error)
	for i := range count {
		l, err := net.FileListener(os.NewFile(uintptr(first+i), "listener"))
		if err != nil {
			fmt.Fprintln(os.Stderr, "webserver:", err)
			os.Exit(1)
		}
		go func() { failed <- server.Serve(l) }()
	}
	fmt.Println("serving")
	fmt.Fprintln(os.Stderr, "webserver:", <-failed)
	server.Shutdown(context.Background())
	os.Exit(1)
}

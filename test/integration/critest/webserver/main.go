// Command webserver is what critest expects of the web servers whose images
// cannot be had without a network: a page at "/" on a port, a file with its pid,
// and a first line of output that tells who it is.
//
//	webserver NAME PORT
package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: webserver NAME PORT")
		os.Exit(2)
	}
	fmt.Println(os.Args[1])
	if err := os.WriteFile("/var/run/nginx.pid", []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "webserver:", err)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "welcome") })
	fmt.Fprintln(os.Stderr, "webserver:", http.ListenAndServe(":"+os.Args[2], nil))
	os.Exit(1)
}

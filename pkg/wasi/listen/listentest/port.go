// Package listentest is for tests of programs that listen at ports.
package listentest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreePort is a TCP port that nobody listens at now, in any family. It is none of those that
// the kernel gives to sockets which ask for no certain one, or another test would have it soon
// (ip_local_port_range begins at 32768 if nobody has changed it).
func FreePort(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		var l net.Listener
		if l, err = net.Listen("tcp", ":"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal(err)
	return ""
}

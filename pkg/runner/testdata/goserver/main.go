// Goserver echoes the connections of all its listeners, each in a goroutine, and
// meanwhile counts. It ends when it has been told "end".
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	first, _ := strconv.Atoi(os.Getenv("LISTEN_FDS_START"))
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	end := make(chan struct{})
	for i := range count {
		l, err := net.FileListener(os.NewFile(uintptr(first+i), "listener"))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		go serve(l, end)
	}
	fmt.Println("serving", os.Getenv("LISTEN_FDNAMES"))
	ticks := 0
	for {
		select {
		case <-time.After(5 * time.Millisecond):
			ticks++
		case <-end:
			fmt.Println("other goroutines run:", ticks > 1)
			return
		}
	}
}

func serve(l net.Listener, end chan<- struct{}) {
	for {
		conn, err := l.Accept()
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		go echo(conn, end)
	}
}

func echo(conn net.Conn, end chan<- struct{}) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		fmt.Fprint(conn, line)
		if line == "end\n" {
			end <- struct{}{}
		}
	}
}

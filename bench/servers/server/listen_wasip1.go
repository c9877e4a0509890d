package main

import (
	"net"
	"os"
	"strconv"
	"syscall"
)

// listen takes the socket that the host has opened. wazero's own says that its sockets
// block until it is told otherwise; Go would wait in it for ever, with all goroutines. With
// AS_IT_IS it does nothing about that, as an ordinary program.
func listen() (net.Listener, error) {
	fd, err := strconv.Atoi(os.Getenv("LISTEN_FDS_START"))
	if err != nil {
		return nil, err
	}
	if os.Getenv("AS_IT_IS") == "" {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return nil, err
		}
	}
	return net.FileListener(os.NewFile(uintptr(fd), "listener"))
}

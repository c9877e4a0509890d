//go:build !wasip1

package main

import (
	"net"
	"os"
)

func listen() (net.Listener, error) { return net.Listen("tcp", os.Getenv("ADDRESS")) }

// A guest that is a server and its client, by the module
// github.com/stealthrocket/net: see package wasmedge's tests.
package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/stealthrocket/net/wasip1"
)

func main() {
	for _, try := range []func() error{streams, datagrams, refused, names} {
		if err := try(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Println("done")
}

// streams has as many clients at a time as a server would.
func streams() error {
	l, err := wasip1.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	const clients = 50
	results := make(chan error)
	for i := range clients {
		go func() { results <- client(l.Addr().String(), fmt.Sprintf("client %d", i)) }()
	}
	for range clients {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}

func client(address, text string) error {
	c, err := wasip1.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if c.RemoteAddr().String() != address {
		return fmt.Errorf("remote address %v instead of %s", c.RemoteAddr(), address)
	}
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != text {
		return fmt.Errorf("%q instead of %q", b, text)
	}
	return nil
}

func datagrams() error {
	server, err := wasip1.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer server.Close()
	go func() {
		b := make([]byte, 100)
		n, from, err := server.ReadFrom(b)
		if err == nil {
			_, err = server.WriteTo(b[:n], from)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	c, err := wasip1.Dial("udp", server.LocalAddr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "datagram"); err != nil {
		return err
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	if string(b[:n]) != "datagram" {
		return fmt.Errorf("%q", b[:n])
	}
	return nil
}

// refused connects to where nobody listens.
func refused() error {
	l, err := wasip1.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	l.Close()
	if c, err := wasip1.Dial("tcp", address); err == nil {
		return fmt.Errorf("connected to %v", c.RemoteAddr())
	}
	if c, err := wasip1.Dial("unix", "/no/such/socket"); err == nil {
		return fmt.Errorf("connected to %v", c.RemoteAddr())
	}
	return nil
}

// names finds one in both families: with the tag getaddrinfo by the host.
func names() error {
	l, err := wasip1.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	defer l.Close()
	six, err := wasip1.Listen("tcp6", "[::1]:0")
	if err != nil {
		return err
	}
	defer six.Close()
	c, err := wasip1.Dial("tcp", six.Addr().String())
	if err != nil {
		return err
	}
	return c.Close()
}

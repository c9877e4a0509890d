package servers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// Request asks on a connection, and expects the server's answer.
func (s Server) Request(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(testenv.Slow(2 * time.Minute))); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: app\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && string(text) != s.Answer {
		err = fmt.Errorf("the answer is %q", text)
	}
	return err
}

// Ask is Request on a connection of its own.
func (s Server) Ask(address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	return s.Request(c)
}

// Many opens connections, and makes requests on all of them when all are open.
func (s Server) Many(address string, count int) error {
	rounds := 1
	if s.Concurrent {
		rounds = 2 // all are still served
	}
	var connections []net.Conn
	defer func() {
		for _, c := range connections {
			c.Close()
		}
	}()
	for i := range count {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return fmt.Errorf("connection %d of %d: %w", i, count, err)
		}
		connections = append(connections, c)
	}
	for round := range rounds {
		if err := s.requestAll(connections); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

// requestAll returns how many have failed, and why some did.
func (s Server) requestAll(connections []net.Conn) error {
	var all sync.WaitGroup
	failures := make(chan error, len(connections))
	for i, c := range connections {
		all.Go(func() {
			if err := s.Request(c); err != nil {
				failures <- fmt.Errorf("connection %d: %w", i, err)
			}
		})
	}
	all.Wait()
	close(failures)
	failed := len(failures)
	if failed == 0 {
		return nil
	}
	var some []error
	for err := range failures {
		if len(some) < 5 {
			some = append(some, err)
		}
	}
	return fmt.Errorf("%d of %d requests failed: %w", failed, len(connections), errors.Join(some...))
}

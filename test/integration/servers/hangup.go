package servers

import (
	"fmt"
	"io"
	"net"
)

// HangUp opens connections and resets them: before they say anything, in the middle of
// a request, and when an answer should be under way.
func HangUp(address string, count int) error {
	for i := range count {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return fmt.Errorf("connection %d of %d: %w", i, count, err)
		}
		_, err = io.WriteString(c, [...]string{"", "GET / HT", "GET / HTTP/1.1\r\nHost: app\r\n\r\n"}[i%3])
		if err == nil {
			err = c.(*net.TCPConn).SetLinger(0) // Close resets
		}
		c.Close()
		if err != nil {
			return fmt.Errorf("connection %d of %d: %w", i, count, err)
		}
	}
	return nil
}

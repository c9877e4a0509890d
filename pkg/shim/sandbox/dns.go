package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// file is the pod's resolv.conf: the host's, if the pod does not say otherwise.
func (d *dnsConfig) file() ([]byte, error) {
	if d == nil {
		data, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("the pod's resolv.conf: %w", err)
		}
		return data, nil
	}
	var b bytes.Buffer
	if len(d.searches) > 0 {
		fmt.Fprintln(&b, "search", strings.Join(d.searches, " "))
	}
	for _, server := range d.servers {
		fmt.Fprintln(&b, "nameserver", server)
	}
	if len(d.options) > 0 {
		fmt.Fprintln(&b, "options", strings.Join(d.options, " "))
	}
	return b.Bytes(), nil
}

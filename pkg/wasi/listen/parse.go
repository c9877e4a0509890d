package listen

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

const (
	tcpNetwork  = "tcp"
	udpNetwork  = "udp"
	unixNetwork = "unix"
)

// Bounds of what a container can ask for.
const (
	maxSockets = 256
	// maxPath is the longest path of a unix socket, in bytes (unix(7), without the
	// final zero).
	maxPath = 107
	// maxName is that of systemd.
	maxName = 255
)

// Parse reads a list of sockets: NAME=NETWORK://ADDRESS;MODE, separated by commas. A
// name and its "=", and a mode and its ";", can be left out. Nothing is an empty
// list.
//
// The error is a sentence that names the entry and says what to write.
func Parse(list string) ([]Socket, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	entries := strings.Split(list, ",")
	if len(entries) > maxSockets {
		return nil, fmt.Errorf("there are %d sockets, and at most %d can be had", len(entries), maxSockets)
	}
	var sockets []Socket
	for _, entry := range entries {
		entry = strings.TrimSpace(entry)
		s, err := parseEntry(entry)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", entry, err)
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

func parseEntry(entry string) (s Socket, err error) {
	const want = `want NAME=NETWORK://ADDRESS, as "http=tcp://0.0.0.0:8080" or "unix:///run/app.sock"`
	head, address, ok := strings.Cut(entry, "://")
	if !ok {
		return s, errors.New(want)
	}
	name, network, named := strings.Cut(head, "=")
	if !named {
		name, network = "", head
	}
	if named {
		if err := checkName(name); err != nil {
			return s, err
		}
	}
	address, mode, hasMode := strings.Cut(address, ";")
	s = Socket{Name: name, Network: network, Address: address}
	if hasMode {
		if s.Mode, err = parseMode(mode); err != nil {
			return s, err
		}
	}
	switch network {
	case tcpNetwork, udpNetwork:
		return s, checkPort(address)
	case unixNetwork:
		return s, checkPath(address)
	}
	return s, fmt.Errorf("there is no network %q here, but tcp, udp and unix", network)
}

// checkName wants what can be one of several that colons separate.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf(`want a name of 1 to %d letters before "=", or neither`, maxName)
	}
	for _, c := range name {
		if c <= ' ' || c > '~' || strings.ContainsRune(`:;"\`, c) {
			return fmt.Errorf("the name %q has the character %q in it; use letters, digits, dots, - and _", name, c)
		}
	}
	return nil
}

func parseMode(mode string) (Mode, error) {
	switch mode {
	case "blocking":
		return Blocking, nil
	case "nonblocking":
		return Nonblocking, nil
	}
	return 0, fmt.Errorf(`want "blocking" or "nonblocking" after ";", not %q`, mode)
}

func checkPort(address string) error {
	a, err := addrPort(address)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no address and port, as 0.0.0.0:8080, [::]:8080 or :8080; names are not looked up", address)
	case a.Port() == 0:
		return errors.New("want a port from 1 to 65535")
	case a.Addr().Zone() != "":
		return errors.New("addresses with a zone cannot be listened at")
	}
	return nil
}

func checkPath(name string) error {
	switch {
	case !path.IsAbs(name) || strings.HasSuffix(name, "/"):
		return fmt.Errorf("%q is no absolute path of a socket in the container, as unix:///run/app.sock", name)
	case len(name) > maxPath:
		return fmt.Errorf("the path is longer than %d bytes", maxPath)
	case strings.ContainsRune(name, 0):
		return errors.New("the path has a zero byte in it")
	}
	return nil
}

package listen

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAllAddressesAreThoseOfBothFamilies also where the network says that IPv6 sockets are
// for IPv6 alone.
func TestAllAddressesAreThoseOfBothFamilies(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network of its own")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // which ends with this goroutine
		done <- reachBothFamilies()
	}()
	must(t, <-done)
}

// reachBothFamilies is for a thread of its own.
func reachBothFamilies() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	control, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(control)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(control, unix.SIOCSIFFLAGS, up); err != nil {
		return err
	}
	err = os.WriteFile("/proc/sys/net/ipv6/bindv6only", []byte("1"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // no IPv6
		return err
	}
	for _, network := range []string{"tcp", "udp"} {
		fd, err := Socket{Network: network, Address: ":8080"}.Open()
		if err != nil {
			return err
		}
		defer unix.Close(fd)
	}
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(client)
	if err := unix.Connect(client, &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	datagrams, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(datagrams)
	if err := unix.Connect(datagrams, &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if _, err := unix.Write(datagrams, []byte("x")); err != nil {
		return err
	}
	_, err = unix.Write(datagrams, []byte("x")) // which tells that the first one was refused
	return err
}

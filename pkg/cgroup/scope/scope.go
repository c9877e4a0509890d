// Package scope lets systemd make cgroups, as scopes: units of processes that
// others have started.
//
//	scope.go  start a scope, change it, stop it
//	name.go   where systemd has the cgroup of a scope
//	bus.go    the connection to systemd
package scope

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// Property is one of a unit (systemd.scope(5), systemd.resource-control(5)).
type Property = systemd.Property

// NewProperty returns a property. The type of the value has to be systemd's.
func NewProperty(name string, value any) Property {
	return Property{Name: name, Value: dbus.MakeVariant(value)}
}

// Scope is what there is to know of a new scope.
type Scope struct {
	Name
	Description string
	Properties  []Property
}

// patience bounds a request to systemd. What is more, a request to stop may be made
// by the delete helper, for which containerd does not wait long.
const patience, stopPatience = 10 * time.Second, 2 * time.Second

// Start makes systemd put a process into a new scope, the cgroup of which others than
// systemd may change. If it fails, there is none.
func Start(ctx context.Context, s Scope, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	properties := append([]Property{
		systemd.PropDescription(s.Description),
		systemd.PropSlice(s.Slice),
		NewProperty("PIDs", []uint32{uint32(pid)}),
		NewProperty("DefaultDependencies", false),
		NewProperty("Delegate", true),
		NewProperty("CPUAccounting", true),
		NewProperty("MemoryAccounting", true),
		NewProperty("IOAccounting", true),
		NewProperty("TasksAccounting", true),
	}, s.Properties...)
	err := bus.with(ctx, func(conn *systemd.Conn) error {
		err := start(ctx, conn, s.Unit, properties)
		if is(err, "UnitExists") {
			// The one of before may have failed, which systemd remembers.
			_ = conn.ResetFailedUnitContext(ctx, s.Unit)
			err = start(ctx, conn, s.Unit, properties)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("let systemd make the scope %s in %s: %w", s.Unit, s.Slice, err)
	}
	return nil
}

func start(ctx context.Context, conn *systemd.Conn, unit string, properties []Property) error {
	done := make(chan string, 1)
	if _, err := conn.StartTransientUnitContext(ctx, unit, "replace", properties, done); err != nil {
		return err
	}
	var err error
	select {
	case result := <-done:
		if result == "done" {
			return nil
		}
		err = errors.New(result)
	case <-ctx.Done():
		err = ctx.Err()
	}
	// Its time may be over, but what systemd has begun is to end.
	_ = stop(context.WithoutCancel(ctx), conn, unit)
	return err
}

// Set changes properties of a scope that runs, until it ends.
func Set(ctx context.Context, unit string, properties []Property) error {
	if len(properties) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := bus.with(ctx, func(conn *systemd.Conn) error {
		return conn.SetUnitPropertiesContext(ctx, unit, true, properties...)
	})
	if err != nil {
		return fmt.Errorf("let systemd change the scope %s: %w", unit, err)
	}
	return nil
}

// Stop makes systemd forget a scope, which is to have no members any more. Nothing
// there is no error.
func Stop(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	err := bus.with(ctx, func(conn *systemd.Conn) error { return stop(ctx, conn, unit) })
	if err != nil {
		return fmt.Errorf("let systemd stop the scope %s: %w", unit, err)
	}
	return nil
}

func stop(ctx context.Context, conn *systemd.Conn, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	done := make(chan string, 1)
	_, err := conn.StopUnitContext(ctx, unit, "replace", done)
	if err == nil {
		select {
		case <-done:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	// A failed one stays until it is asked to go.
	if reset := conn.ResetFailedUnitContext(ctx, unit); err == nil {
		err = reset
	}
	if is(err, "NoSuchUnit") {
		return nil
	}
	return err
}

// is tells whether an error is that one of systemd's.
func is(err error, name string) bool {
	var answer dbus.Error
	return errors.As(err, &answer) && answer.Name == "org.freedesktop.systemd1."+name
}

// version reads "252.39-1~deb12u1", also in quotes.
func version(text string) (int, error) {
	text = strings.TrimLeft(text, `"v`)
	digits := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(text)
	}
	n, err := strconv.Atoi(text[:digits])
	if err != nil {
		return 0, fmt.Errorf("systemd has the version %q", text)
	}
	return n, nil
}

package pod

import (
	"context"
	"fmt"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// systemdPatience bounds a request to systemd.
const systemdPatience = 10 * time.Second

// startScope makes systemd put a process into a scope of its own, the cgroup of
// which is below slice.
func startScope(ctx context.Context, slice, unit string, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, systemdPatience)
	defer cancel()
	conn, err := systemd.NewSystemdConnectionContext(ctx)
	if err != nil {
		conn, err = systemd.NewWithContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("ask systemd for the pod's cgroup %s: %w; without systemd, set cgroupDriver: cgroupfs in the kubelet's configuration", unit, err)
	}
	defer conn.Close()
	property := func(name string, value any) systemd.Property {
		return systemd.Property{Name: name, Value: dbus.MakeVariant(value)}
	}
	done := make(chan string, 1)
	_, err = conn.StartTransientUnitContext(ctx, unit, "replace", []systemd.Property{
		systemd.PropDescription("holder of a pod's namespaces"),
		systemd.PropSlice(slice),
		property("PIDs", []uint32{uint32(pid)}),
		property("DefaultDependencies", false),
		property("Delegate", true),
		property("CPUAccounting", true),
		property("MemoryAccounting", true),
		property("TasksAccounting", true),
	}, done)
	if err != nil {
		return fmt.Errorf("ask systemd for the scope %s in %s: %w", unit, slice, err)
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("systemd made no scope %s in %s: %s", unit, slice, result)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for systemd's scope %s: %w", unit, ctx.Err())
	}
}

// stopScope is for a scope that the kernel has emptied: systemd removes it by
// itself, except where nobody tells it (cgroup v1 in a container).
func stopScope(ctx context.Context, unit string) {
	ctx, cancel := context.WithTimeout(ctx, systemdPatience)
	defer cancel()
	conn, err := systemd.NewSystemdConnectionContext(ctx)
	if err != nil {
		if conn, err = systemd.NewWithContext(ctx); err != nil {
			return
		}
	}
	defer conn.Close()
	done := make(chan string, 1)
	if _, err := conn.StopUnitContext(ctx, unit, "replace", done); err == nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	_ = conn.ResetFailedUnitContext(ctx, unit)
}

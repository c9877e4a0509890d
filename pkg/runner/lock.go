package runner

import (
	"errors"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/job"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/privilege"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/runner/cell"
	"github.com/containerd-wazero/containerd-shim-wazero/pkg/timerslack"
)

// lock leaves the process able to run its guest, and to hear of Go, and to nothing else.
// The shim has to be its parent.
func (o *orders) lock(g *guest) error {
	if o.locked {
		return nil
	}
	if err := privilege.DieWithParent(); err != nil {
		return err
	}
	if !shimAlive() {
		return errors.New("the shim is gone")
	}
	if err := beExact(); err != nil {
		return err
	}
	// Go ends a process that writes to a closed stdout with SIGPIPE. WASI has no
	// signals: the guest gets an error, as a native program does that is pid 1.
	signal.Ignore(unix.SIGPIPE)
	lock := cell.Lock
	if g.server != nil {
		lock = cell.LockGateway
	}
	var profile string
	if g.job.Room != nil {
		profile = g.job.Room.AppArmor
	}
	if err := lock(g.sockets, profile); err != nil {
		return err
	}
	o.locked = true
	return nil
}

// beExact makes sleeps of the guest as short as those of a native program, if the process
// has the shim's timer slack.
func beExact() error {
	if slack, err := timerslack.Get(); err == nil && slack == timerslack.Default {
		return nil
	}
	return privilege.OnAllThreads("set the timer slack", unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(timerslack.Default), 0)
}

// shimAlive finds a shim that ended before DieWithParent asked to be told.
func shimAlive() bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(job.FDControl, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n != 0 || err != nil
}

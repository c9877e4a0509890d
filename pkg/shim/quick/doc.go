// Package quick has containerd's actions start and delete, each a process that
// containerd waits for with every container, as far as they can be done quickly.
// It decides only what it is sure of; the rest is ErrUnsure and for package
// bootstrap, which reads anything and calls the same code for what is to be done.
//
// It lives off so few packages because package early runs it before most packages
// of the binary are initialised: none may be imported that needs strings, unicode or
// reflect (so not fmt, encoding/json, path/filepath, net, golang.org/x/sys/unix …),
// because Go initialises protobuf before strings. Neither are files opened by package
// os, which starts a poller for them.
package quick

import "errors"

// ErrUnsure is the error of an action that has done nothing that package bootstrap
// may not do again.
var ErrUnsure = errors.New("not a usual case")

// failure is an error with the text before it that says what failed.
type failure struct {
	what string
	err  error
}

func (f *failure) Error() string { return f.what + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

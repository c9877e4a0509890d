package codecache

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// Refused is the error of a module that cannot be compiled: by whom and how often
// does not matter.
type Refused struct {
	// Reason is a sentence for the user.
	Reason string
}

func (r *Refused) Error() string { return r.Reason }

// ErrLimit is what errors of modules wrap that need more time or memory than a
// compiler may take.
var ErrLimit = fmt.Errorf("a limit of the compiler: %w", errdefs.ErrResourceExhausted)

// limited is an ErrLimit that another process has told us about.
type limited struct{ reason string }

func (l *limited) Error() string { return l.reason }
func (l *limited) Unwrap() error { return ErrLimit }

// errUnstored is the error of those who waited for code that could be compiled
// but not stored. They need not wait for each other.
var errUnstored = errors.New("the compiled code could not be stored")

// What a note for those who wait in other processes begins with; a reason follows.
const (
	noteRefused  = 'r'
	noteLimited  = 'l'
	noteUnstored = 'u'
)

// maxNote bounds a note in bytes.
const maxNote = 4 << 10

// isForAll tells whether an error of the compiler is one for all who wait: they
// would only repeat it. After any other, which may be an accident, the next of
// them tries.
func isForAll(err error) bool { return noteOf(err) != nil }

// noteOf is nil if there is nothing to tell the others.
func noteOf(err error) []byte {
	var refused *Refused
	switch {
	case errors.As(err, &refused):
		return note(noteRefused, refused.Reason)
	case errors.Is(err, ErrLimit):
		return note(noteLimited, err.Error())
	case errors.Is(err, errUnstored):
		return note(noteUnstored, "")
	default:
		return nil
	}
}

func note(kind byte, reason string) []byte {
	return append([]byte{kind}, reason[:min(len(reason), maxNote-1)]...)
}

// fromNote is the inverse of noteOf.
func fromNote(note []byte) error {
	if len(note) == 0 {
		return nil
	}
	switch reason := strings.ToValidUTF8(string(note[1:]), ""); note[0] {
	case noteRefused:
		return &Refused{Reason: reason}
	case noteLimited:
		return &limited{reason}
	default:
		return errUnstored
	}
}

package shim

import (
	"testing"
	"time"
)

// within fails the test if done is not closed within the limit.
func within(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("no %s within %s", what, limit)
	}
}

// atOnce runs do, which must not take longer than a user's patience.
func atOnce(t testing.TB, what string, max time.Duration, do func()) {
	t.Helper()
	begin := time.Now()
	do()
	if took := time.Since(begin); took > max {
		t.Errorf("%s took %s, at most %s are good", what, took, max)
	}
}

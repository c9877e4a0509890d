package shim

import (
	"testing"
	"time"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
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
	begin, max := time.Now(), testenv.Slow(max)
	do()
	if took := time.Since(begin); took > max {
		t.Errorf("%s took %s, at most %s are good", what, took, max)
	}
}

package runner

import "testing"

// TestConnectionsHaveWhatTheyMayTake of memory, half of which is Go's, and descriptors.
func TestConnectionsHaveWhatTheyMayTake(t *testing.T) {
	t.Parallel()
	const (
		ofGo        = 2 * 101 << 10 // see TestClientsThatWaitTakeWhatIsCounted in pkg/cgi
		ofKernel    = 64<<10 + 208<<10
		descriptors = 2
	)
	for _, tc := range []struct {
		limit       int64
		descriptors uint64
		want        int
	}{
		{0, 1 << 20, 4096},
		{0, 8191, 4095},
		{16 << 20, 1 << 20, 24},
		{64 << 20, 1 << 20, 32},
		{1 << 30, 1 << 20, 512},
		{1 << 30, 100, 50},
		{8 << 30, 1 << 20, 4096},
		{64 << 30, 1 << 20, 4096},
		{0, 0, 0},
	} {
		n := affordable(tc.limit, tc.descriptors)
		if n != tc.want {
			t.Errorf("%+v: %d", tc, n)
		}
		if reserve := serverReserve(tc.limit); tc.limit > 0 && int64(n)*(ofGo+ofKernel) > reserve {
			t.Errorf("%+v: %d can take more than %d", tc, n, reserve)
		}
		if uint64(n)*descriptors > tc.descriptors {
			t.Errorf("%+v: %d can take more", tc, n)
		}
	}
}

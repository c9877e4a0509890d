package version

import (
	"runtime"
	"testing"
)

func TestBuildIsDescribed(t *testing.T) {
	t.Parallel()
	info := Get()
	if info.Version == "" || info.Go != runtime.Version() {
		t.Errorf("got %+v", info)
	}
}

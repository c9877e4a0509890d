package testenv

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Variables for machines that are too slow for what the tests do otherwise, such
// as emulated ones.
const (
	// slowEnv is a factor for Slow.
	slowEnv = "WAZERO_TEST_SLOW"
	// toolsEnv names the compiled command of test/tools.
	toolsEnv = "WAZERO_TEST_TOOLS"
	// guestsEnv names a directory of compiled guests, <kind>/<name>.
	guestsEnv = "WAZERO_TEST_GUESTS"
)

// Slow is d on a usual machine, and a multiple of it on one that
// $WAZERO_TEST_SLOW says to be that many times slower. All limits go through it.
func Slow(d time.Duration) time.Duration { return d * slowness }

var slowness = func() time.Duration {
	text := os.Getenv(slowEnv)
	if text == "" {
		return 1
	}
	factor, err := strconv.Atoi(text)
	if err != nil || factor < 1 {
		panic(fmt.Sprintf("%s is %q, not a factor", slowEnv, text))
	}
	return time.Duration(factor)
}()

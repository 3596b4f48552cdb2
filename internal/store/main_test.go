package store

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childEnv marks the process in which stores die of injected errors; see
// TestNoErrorLosesACheckpoint.
const childEnv = "PURSER_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(m.Run()) // its dead stores keep their goroutines
	}
	goleak.VerifyTestMain(m)
}

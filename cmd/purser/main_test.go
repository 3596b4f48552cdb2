package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"purser/bench"
)

// childVariable makes this test binary be the program instead: tests that kill
// a server need it in a process of its own.
const childVariable = "PURSER_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" || bench.IsChild() {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

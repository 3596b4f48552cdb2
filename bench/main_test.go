package bench

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets Ceiling start the test binary as its empty server, and fails
// the package if any test leaves a goroutine behind.
func TestMain(m *testing.M) {
	if IsChild() {
		if err := RunChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// fasthttp's own: one for the process's Date header, and one per server
	// that sees only at its next wake, after 10 s, that the server was closed.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

//go:build planted

package planted

import (
	"fmt"
	"os"
	"slices"
)

// Variable names the environment variable that chooses the fault of a process.
const Variable = "PURSER_PLANTED_FAULT"

// chosen is read before main runs: a name that is wrong must not pass for a run
// with the fault.
var chosen = choose(os.Getenv(Variable))

func choose(name string) Fault {
	f := Fault(name)
	if name != "" && !slices.Contains(All(), f) {
		panic(fmt.Sprintf("%s=%q is none of the planted faults, which are %q", Variable, name, All()))
	}
	return f
}

// Is reports whether f is the fault of this process.
func Is(f Fault) bool { return f == chosen }

//go:build !race

package chaos

// buildFlags are those of this test.
var buildFlags []string

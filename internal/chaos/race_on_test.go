//go:build race

package chaos

// buildFlags are those of this test: what it runs is watched as it is.
var buildFlags = []string{"-race"}

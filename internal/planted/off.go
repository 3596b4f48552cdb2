//go:build !planted

package planted

// Is reports that no fault is planted: the compiler leaves out what depends on it.
func Is(Fault) bool { return false }

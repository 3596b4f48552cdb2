//go:build !linux

package bench

import "os"

// fdatasync is a full sync where the system has no weaker one.
func fdatasync(f *os.File) error { return f.Sync() }

package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// CorruptionError says that a row is not what this package wrote. The bytes on
// disk are damaged, or the file belongs to something else; nothing is guessed.
type CorruptionError struct {
	Key    []byte // of the row in Pebble
	Reason string
}

// Error names the row and the fault.
func (e *CorruptionError) Error() string {
	return fmt.Sprintf("store: row %x is corrupt: %s", e.Key, e.Reason)
}

func corrupt(key []byte, format string, args ...any) error {
	return &CorruptionError{Key: append([]byte(nil), key...), Reason: fmt.Sprintf(format, args...)}
}

// Damaged reports whether err says that the files are not what was written, be it
// by a row of this package or by a table of Pebble's, and not that they could not
// be read.
func Damaged(err error) bool {
	var row *CorruptionError
	return errors.As(err, &row) || pebble.IsCorruptionError(err)
}

package store

import "fmt"

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

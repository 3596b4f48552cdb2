package ledger

import (
	"errors"
	"fmt"
)

// NewestFormat is the newest format that this build reads and writes, and
// OldestFormat the first that there was. One number counts the formats of all that
// a node may get from another one: log entries, checkpoints and snapshots.
const (
	NewestFormat = 1
	OldestFormat = 1
)

// ErrFormat says that something was written by a newer purser, in a format that this
// build does not read.
var ErrFormat = errors.New("the format is newer than this build")

// CheckFormat returns an error that wraps ErrFormat, and says what to do, if what has
// a newer format than newest.
func CheckFormat(what string, format, newest int) error {
	if format <= newest {
		return nil
	}
	return fmt.Errorf("%w: %s has format %d, this build reads formats up to %d: run the release that wrote it, or a later one",
		ErrFormat, what, format, newest)
}

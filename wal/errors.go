package wal

import (
	"errors"
	"fmt"
)

var (
	// ErrPoisoned wraps the first write, sync or rotation error of a Log. From
	// then on nobody knows what the disk holds beyond the last acknowledged
	// frame, so nothing is written again. Only a new Open can tell.
	ErrPoisoned = errors.New("wal: stopped by an earlier storage error")

	// ErrClosed is returned by every operation after Close.
	ErrClosed = errors.New("wal: closed")

	// ErrGap refuses entries whose indexes do not follow the last one, or each
	// other. The log is unchanged.
	ErrGap = errors.New("wal: entry indexes are not contiguous")

	// ErrMiddle refuses a DeleteRange that would leave entries on both sides.
	// The log is unchanged.
	ErrMiddle = errors.New("wal: range is neither a prefix nor a suffix of the log")

	// ErrTooLarge refuses entries that do not fit one frame (1 GiB). The log is
	// unchanged.
	ErrTooLarge = errors.New("wal: entries too large for one frame")

	// ErrNewerFormat refuses files of a later format version than this package
	// writes.
	ErrNewerFormat = errors.New("wal: file format is newer than this program")
)

// CorruptionError says that a file differs from everything a crash could have
// left behind. Open returns it before it changes anything.
type CorruptionError struct {
	File   string // base name within Options.Dir
	Offset int64  // byte in File where the damage was noticed
	Reason string
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("wal: %s is corrupt at offset %d: %s", e.File, e.Offset, e.Reason)
}

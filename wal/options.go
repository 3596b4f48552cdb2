package wal

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	defaultSegmentBytes = 64 << 20
	minSegmentBytes     = 512
	maxSegmentBytes     = 1 << 30
)

// Options configures Open.
type Options struct {
	// FS is the file system that holds Dir. Default: vfs.Default.
	FS vfs.FS

	// Dir is the directory of the segments, created if missing and owned by
	// this package alone. Required.
	Dir string

	// SegmentBytes is the size of a new segment, from 512 bytes to 1 GiB; a
	// frame that is larger gets a segment of its own size. It may change
	// between two Opens. Default: 64 MiB.
	SegmentBytes int64

	// Observe, if set, is called after every successful append, on the
	// goroutine that appends and with the log locked for writing: it must be
	// quick and must not call the Log. Default: none, and the clock is not read.
	Observe func(Append)
}

// Append describes one durable StoreLogs call.
type Append struct {
	Entries int
	Bytes   int           // of the frame, padding included
	Write   time.Duration // copying the frame to the file
	Sync    time.Duration // making it durable
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	return o
}

// Validate reports every fault of o at once.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	if o.Dir == "" {
		faults = append(faults, errors.New("wal: Dir is empty"))
	}
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxSegmentBytes {
		faults = append(faults, fmt.Errorf("wal: SegmentBytes %d is outside [%d, %d]",
			o.SegmentBytes, minSegmentBytes, maxSegmentBytes))
	}
	return errors.Join(faults...)
}

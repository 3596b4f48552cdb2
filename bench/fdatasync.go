package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	syncBlock = 4 << 10
	syncFile  = 16 << 20
)

// Fdatasync is the distribution of the time of one write of 4 KiB into a file
// of zeros with the fdatasync after it, in microseconds.
type Fdatasync struct {
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	Max    float64 `json:"max_us"`
	Writes int     `json:"writes"`
	Dir    string  `json:"dir"`
}

func (f Fdatasync) String() string {
	return fmt.Sprintf("p50 %.0f µs, p99 %.0f, max %.0f (%d writes of 4 KiB in %s)", f.P50, f.P99, f.Max, f.Writes, f.Dir)
}

// measureFdatasync writes and syncs so many blocks one after the other, in a file in
// dir that it removes. The file has its size and its zeros beforehand, like a
// preallocated log segment, so that only data is synced.
func measureFdatasync(ctx context.Context, dir string, writes int) (f Fdatasync, err error) {
	file, err := os.CreateTemp(dir, "fdatasync-*")
	if err != nil {
		return f, fmt.Errorf("fdatasync: %w", err)
	}
	defer func() {
		err = errors.Join(err, file.Close(), os.Remove(file.Name()))
	}()
	if _, err := file.Write(make([]byte, syncFile)); err != nil {
		return f, fmt.Errorf("fdatasync: %w", err)
	}
	if err := file.Sync(); err != nil {
		return f, fmt.Errorf("fdatasync: %w", err)
	}
	block := make([]byte, syncBlock)
	for i := range block {
		block[i] = byte(i)
	}
	t := newTimes()
	for i := 0; i < writes && ctx.Err() == nil; i++ {
		start := time.Now()
		if _, err := file.WriteAt(block, int64(i)*syncBlock%syncFile); err != nil {
			return f, fmt.Errorf("fdatasync: %w", err)
		}
		if err := fdatasync(file); err != nil {
			return f, fmt.Errorf("fdatasync: %w", err)
		}
		t.record(int64(time.Since(start)))
	}
	l := newLatency(t.Histogram)
	return Fdatasync{P50: l.P50, P99: l.P99, Max: l.Max, Writes: int(l.Count), Dir: dir}, nil
}

//go:build !linux

package bench

import "time"

func waitedTime() time.Duration { return 0 }

func machineTime() time.Duration { return 0 }

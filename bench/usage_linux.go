package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// waitedTime returns how long the threads of this process have been ready to
// compute while no processor was free: the second number of schedstat.
func waitedTime() (total time.Duration) {
	files, _ := filepath.Glob("/proc/self/task/*/schedstat") // the pattern is well-formed
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		fields := strings.Fields(string(text))
		if len(fields) < 2 {
			continue
		}
		if ns, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			total += time.Duration(ns)
		}
	}
	return total
}

// machineTime returns what all processors together have computed so far, for
// whomever, and 0 where the system does not tell. What was taken away from a
// virtual machine counts.
func machineTime() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every platform
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return busyTicks(line) * tick
}

// busyTicks reads the first line of /proc/stat: cpu user nice system idle iowait
// irq softirq steal, and guests, which are in user and nice already.
func busyTicks(line string) (busy time.Duration) {
	for i, field := range strings.Fields(line) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err == nil && i <= 8 && i != 4 && i != 5 {
			busy += time.Duration(n)
		}
	}
	return busy
}

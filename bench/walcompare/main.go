// Command walcompare measures Purser's wal beside hashicorp/raft-wal and
// raft-boltdb on the same disk, in one run and in interleaved rounds, as a Raft
// leader would use them: many clients each propose one command at a time, and one
// goroutine stores whatever has been proposed meanwhile with one StoreLogs call.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"time"
)

// config is what the flags set.
type config struct {
	dir      string
	clients  int
	bytes    int
	rounds   int
	duration time.Duration
	oneEntry bool
	only     string
}

func main() {
	var c config
	flag.StringVar(&c.dir, "dir", ".", "directory on the disk to measure; a temporary one is made in it")
	flag.IntVar(&c.clients, "clients", 64, "concurrent proposers, each with one command in flight")
	flag.IntVar(&c.bytes, "bytes", 150, "size of a command")
	flag.IntVar(&c.rounds, "rounds", 5, "rounds; each runs every store once, in turn")
	flag.DurationVar(&c.duration, "duration", 4*time.Second, "length of one store's turn")
	flag.BoolVar(&c.oneEntry, "one-entry", false, "store a group of commands as one log entry")
	flag.StringVar(&c.only, "only", "", "measure only this store")
	flag.Parse()
	if err := run(c); err != nil {
		log.Fatal(err)
	}
}

func run(c config) error {
	results := map[string][]result{}
	for round := range c.rounds {
		// A different one goes first in each round.
		for k := range stores {
			s := stores[(k+round)%len(stores)]
			if c.only != "" && c.only != s.name {
				continue
			}
			r, err := measureIn(c, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			fmt.Printf("round %d  %-10s %9.0f commands/s  p50 %6d us  p99 %6d us  max %6d us  %5.1f commands a group\n",
				round+1, s.name, r.perSecond, r.p50.Microseconds(), r.p99.Microseconds(), r.max.Microseconds(), r.group)
			results[s.name] = append(results[s.name], r)
		}
	}
	report(results)
	return nil
}

// measureIn gives s a directory of its own for one turn.
func measureIn(c config, s store) (result, error) {
	dir, err := os.MkdirTemp(c.dir, "walcompare-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	return measure(c, s, dir)
}

func report(results map[string][]result) {
	median := func(name string, of func(result) float64) float64 {
		var v []float64
		for _, r := range results[name] {
			v = append(v, of(r))
		}
		slices.Sort(v)
		if len(v) == 0 {
			return 0
		}
		return v[len(v)/2]
	}
	perSecond := func(r result) float64 { return r.perSecond }
	fmt.Println("\nmedians of the rounds")
	for _, s := range stores {
		if len(results[s.name]) == 0 {
			continue
		}
		fmt.Printf("%-10s %9.0f commands/s  p50 %6.0f us  p99 %6.0f us\n", s.name, median(s.name, perSecond),
			median(s.name, func(r result) float64 { return float64(r.p50.Microseconds()) }),
			median(s.name, func(r result) float64 { return float64(r.p99.Microseconds()) }))
	}
	for _, s := range stores[1:] {
		if other := median(s.name, perSecond); other > 0 {
			fmt.Printf("%s / %s = %.2f\n", stores[0].name, s.name, median(stores[0].name, perSecond)/other)
		}
	}
}

package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// result is one store's turn.
type result struct {
	perSecond     float64 // commands
	p50, p99, max time.Duration
	group         float64 // commands per StoreLogs, mean
}

// proposal is one command on its way; done receives the outcome.
type proposal struct {
	data []byte
	done chan error
}

// measure runs c.clients against a committer on s until c.duration is over.
func measure(c config, s store, dir string) (result, error) {
	l, closer, err := s.open(dir)
	if err != nil {
		return result{}, err
	}
	queue := make(chan proposal, c.clients)
	com := &committer{log: l, queue: queue, oneEntry: c.oneEntry}
	done := make(chan struct{})
	go func() { defer close(done); com.run() }()

	// The first tenth is not counted: files are made, buffers grow.
	start := time.Now()
	from, until := start.Add(c.duration/10), start.Add(c.duration)
	latencies := make([][]time.Duration, c.clients)
	errs := make([]error, c.clients)
	var wg sync.WaitGroup
	for k := range c.clients {
		wg.Go(func() { latencies[k], errs[k] = propose(queue, c.bytes, from, until) })
	}
	wg.Wait()
	close(queue)
	<-done
	if err := closer.Close(); err != nil {
		return result{}, err
	}
	for _, err := range errs {
		if err != nil {
			return result{}, err
		}
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return result{}, fmt.Errorf("no command in %v", c.duration)
	}
	slices.Sort(all)
	return result{
		perSecond: float64(len(all)) / until.Sub(from).Seconds(),
		p50:       all[len(all)/2],
		p99:       all[len(all)*99/100],
		max:       all[len(all)-1],
		group:     float64(com.commands) / float64(com.groups),
	}, nil
}

// propose sends one command after the other and times those that begin at from
// or later and end by until.
func propose(queue chan<- proposal, size int, from, until time.Time) ([]time.Duration, error) {
	p := proposal{data: make([]byte, size), done: make(chan error, 1)}
	for i := range p.data {
		p.data[i] = byte(i) | 1
	}
	var latencies []time.Duration
	for {
		begin := time.Now()
		if begin.After(until) {
			return latencies, nil
		}
		queue <- p
		if err := <-p.done; err != nil {
			return nil, err
		}
		if end := time.Now(); !begin.Before(from) && !end.After(until) {
			latencies = append(latencies, end.Sub(begin))
		}
	}
}

// committer is the only writer of a log. It stores what is pending as one group.
type committer struct {
	log      raft.LogStore
	queue    <-chan proposal
	oneEntry bool

	index            uint64
	commands, groups int
	pending          []proposal
}

func (c *committer) run() {
	for p := range c.queue {
		c.pending = append(c.pending[:0], p)
		for n := len(c.queue); n > 0; n-- {
			c.pending = append(c.pending, <-c.queue)
		}
		err := c.store()
		for _, p := range c.pending {
			p.done <- err
		}
	}
}

func (c *committer) store() error {
	now := time.Now()
	var logs []*raft.Log
	if c.oneEntry {
		var data []byte
		for _, p := range c.pending {
			data = append(data, p.data...)
		}
		c.index++
		logs = []*raft.Log{{Index: c.index, Term: 1, Data: data, AppendedAt: now}}
	} else {
		entries := make([]raft.Log, len(c.pending))
		for i, p := range c.pending {
			c.index++
			entries[i] = raft.Log{Index: c.index, Term: 1, Data: p.data, AppendedAt: now}
			logs = append(logs, &entries[i])
		}
	}
	c.commands += len(c.pending)
	c.groups++
	return c.log.StoreLogs(logs)
}

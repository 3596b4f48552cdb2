package clients

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Load is a number of running clients. Its methods are safe for concurrent use,
// but Check has to come after Stop.
type Load struct {
	cfg     Config
	history *history
	bank    *bank
	stopped context.Context // done once no new request may begin
	stop    context.CancelFunc
	running sync.WaitGroup
}

// Start creates and funds the accounts of the load through any node, for as long
// as that takes unless ctx ends, and then starts the clients. They run until Stop
// or the end of ctx; whoever has started a Load has to Stop it.
func Start(ctx context.Context, cfg Config) (*Load, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	l := &Load{cfg: cfg, history: &history{began: time.Now()}, bank: newBank(cfg.tag())}
	l.stopped, l.stop = context.WithCancel(ctx)
	if err := l.setUp(l.stopped); err != nil {
		l.stop()
		return nil, fmt.Errorf("set up accounts: %w", err)
	}
	for i := range cfg.Clients {
		c := l.client(i)
		if i%watcherOneIn == watcherOneIn-1 {
			c.watches, c.patience = true, watcherPatience
		}
		l.running.Go(func() {
			defer c.close()
			c.run(l.stopped)
		})
	}
	return l, nil
}

// client returns the i-th client.
func (l *Load) client(i int) *client {
	c := &client{
		load: l, id: i, history: l.history,
		rng:      rand.New(rand.NewPCG(l.cfg.Seed, uint64(i))),
		avoid:    make([]int64, len(l.cfg.APIs)),
		patience: patiences[i%len(patiences)],
	}
	for _, addr := range l.cfg.APIs {
		c.conns = append(c.conns, &conn{addr: addr})
	}
	return c
}

// Acknowledged is the number of movements of money that were acknowledged so far.
func (l *Load) Acknowledged() int64 { return l.history.acknowledged() }

// LongestGap is the longest time between two acknowledgements of movements so
// far, from the first one on and until Stop.
func (l *Load) LongestGap() time.Duration { return l.history.gap() }

// Stop lets the requests that are under way end, begins no new ones, and then
// looks for the outcomes that are not known: by key, through nodes that answer,
// until each is found or ctx ends. Its error says how many were not.
func (l *Load) Stop(ctx context.Context) error {
	l.history.stop()
	l.stop()
	l.running.Wait()
	return l.resolve(ctx)
}

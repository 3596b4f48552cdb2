package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"purser/bench"
	"purser/engine"
	"purser/internal/ledger"
	"purser/raftfsm"
)

// measureEngine measures what the engine does without HTTP, through raft, the log
// and the store, in payments per second: one hot account, the connections of load as
// clients in this process, each with one batch in flight. The data directory is a
// fresh one below that of load, and removed.
func measureEngine(ctx context.Context, load bench.Config) (rate float64, err error) {
	dir, err := os.MkdirTemp(cmp.Or(load.Dir, "."), "bench-engine.")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if os.Getenv("GOGC") == "" { // as a server does
		defer debug.SetGCPercent(debug.SetGCPercent(heapGrowth))
	}
	floor := make([]byte, heapFloor)
	defer runtime.KeepAlive(floor)
	s, err := openStack(raftfsm.Config{
		NodeID: "n1", DataDir: dir, RaftListen: "127.0.0.1:0", Shards: runtime.NumCPU(),
		Fatal: func(err error) { panic(err) },
	}, engine.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := awaitReady(ctx, s); err != nil {
		return 0, err
	}
	l := engineLoad{Config: load, engine: s.engine}
	if err := l.setup(); err != nil {
		return 0, err
	}
	return l.run(ctx)
}

// engineLoad is a closed loop on an engine.
type engineLoad struct {
	bench.Config
	engine   *engine.Engine
	from     time.Time    // the measured time's begin
	begun    atomic.Int64 // batches
	accepted atomic.Int64 // payments answered in the measured time
}

var (
	engineSource   = []byte("hot")
	engineOutside  = []byte("world:USD")
	engineCurrency = ledger.Currency{'U', 'S', 'D'}
)

func (l *engineLoad) payment(dst *ledger.Command, key string, n, amount int64) {
	*dst = ledger.Command{
		Kind: ledger.Pay, Key: fmt.Appendf(dst.Key[:0], "%s-%016d", key, n), Source: engineSource, Destination: engineOutside,
		Currency: engineCurrency, Amount: amount, ExpiresIn: ledger.DefaultExpiry,
	}
}

// setup makes the account, with funds.
func (l *engineLoad) setup() error {
	cmds := make([]ledger.Command, 2)
	cmds[0] = ledger.Command{Kind: ledger.CreateAccount, Source: engineSource, Currency: engineCurrency}
	l.payment(&cmds[1], "fund", 0, 1<<60)
	cmds[1].Source, cmds[1].Destination = engineOutside, engineSource
	_, err := l.execute(cmds)
	return err
}

// run returns the payments per second of the measured time.
func (l *engineLoad) run(ctx context.Context) (rate float64, err error) {
	l.from = time.Now().Add(l.Warmup)
	if l.Requests == 0 {
		var end context.CancelFunc
		ctx, end = context.WithDeadline(ctx, l.from.Add(l.Duration))
		defer end()
	}
	errs := make([]error, l.Connections)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() { errs[i] = l.client(ctx) })
	}
	wait.Wait()
	return float64(l.accepted.Load()) / time.Since(l.from).Seconds(), errors.Join(errs...)
}

// client sends one batch after the other.
func (l *engineLoad) client(ctx context.Context) error {
	cmds := make([]ledger.Command, l.Batch)
	for ctx.Err() == nil {
		n := l.begun.Add(1)
		if l.Requests > 0 && n > int64(l.Requests) {
			return nil
		}
		for i := range cmds {
			l.payment(&cmds[i], "key", n*int64(l.Batch)+int64(i), 1)
		}
		answered, err := l.execute(cmds)
		if err != nil {
			return err
		}
		if !answered.Before(l.from) {
			l.accepted.Add(int64(len(cmds)))
		}
	}
	return nil
}

// execute has cmds executed, and fails unless all of them were, for the first time.
func (l *engineLoad) execute(cmds []ledger.Command) (answered time.Time, err error) {
	var fault error
	err = l.engine.ExecuteAll(cmds, func(results []ledger.Result, _ uint64) {
		for _, r := range results {
			switch {
			case r.Conflict != "" || r.Replayed:
				fault = fmt.Errorf("a key occurred twice: %+v", r)
			case r.Record.Code != ledger.OK:
				fault = fmt.Errorf("refused: %s", r.Record.Code)
			}
		}
	})
	return time.Now(), errors.Join(err, fault)
}

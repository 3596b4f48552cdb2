package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"purser/engine"
	"purser/internal/ledger"
	"purser/raftfsm"
)

func openTestStack(tb testing.TB, dir string, shards int) *stack {
	tb.Helper()
	s, err := openStack(raftfsm.Config{
		NodeID: "n1", DataDir: dir, RaftListen: "127.0.0.1:0", Shards: shards,
		Fatal: func(err error) { panic(err) },
	}, engine.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	if err := awaitReady(tb.Context(), s); err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustExecute(tb testing.TB, s *stack, cmd *ledger.Command) *ledger.Record {
	tb.Helper()
	res, _, err := s.engine.Execute(cmd)
	if err != nil {
		tb.Fatal(err)
	}
	return res.Record
}

var usd, _ = ledger.ParseCurrency([]byte("USD"))

func fund(tb testing.TB, s *stack, id string, amount int64) {
	tb.Helper()
	mustExecute(tb, s, &ledger.Command{Kind: ledger.CreateAccount, Source: []byte(id), Currency: usd})
	rec := mustExecute(tb, s, &ledger.Command{Kind: ledger.Pay, Key: []byte("fund-" + id), Source: []byte("world:USD"),
		Destination: []byte(id), Currency: usd, Amount: amount, ExpiresIn: ledger.DefaultExpiry})
	if rec.Code != ledger.OK {
		tb.Fatalf("fund: %s", rec.Code)
	}
}

func BenchmarkHotAccount(b *testing.B) {
	for _, clients := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := openTestStack(b, b.TempDir(), 2)
			defer func() { _ = s.close() }()
			fund(b, s, "hot", 1<<60)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range clients {
				wg.Go(func() {
					cmd := ledger.Command{Kind: ledger.Pay, Source: []byte("hot"), Destination: []byte("world:USD"),
						Currency: usd, Amount: 1, ExpiresIn: ledger.DefaultExpiry}
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						cmd.Key = fmt.Appendf(cmd.Key[:0], "key-%016d", n)
						res, _, err := s.engine.Execute(&cmd)
						if err != nil || res.Record.Code != ledger.OK {
							b.Error(err, res)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
		})
	}
}

func BenchmarkBatches(b *testing.B) {
	const size = 1000
	s := openTestStack(b, b.TempDir(), 2)
	defer func() { _ = s.close() }()
	fund(b, s, "hot", 1<<60)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 8 {
		wg.Go(func() {
			cmds := make([]ledger.Command, size)
			for {
				n := next.Add(size)
				if n > int64(b.N) {
					return
				}
				for i := range cmds {
					cmds[i] = ledger.Command{Kind: ledger.Pay, Source: []byte("hot"), Destination: []byte("world:USD"),
						Key: fmt.Appendf(nil, "key-%016d", n+int64(i)), Currency: usd, Amount: 1, ExpiresIn: ledger.DefaultExpiry}
				}
				if _, _, err := s.engine.ExecuteAll(cmds); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}

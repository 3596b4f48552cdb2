package main

import (
	"fmt"
	"runtime"
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
	var rec ledger.Record // but for what it refers to
	if err := s.engine.Execute(cmd, func(res ledger.Result, _ uint64) { rec = *res.Record }); err != nil {
		tb.Fatal(err)
	}
	return &rec
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

// TestResultsAreOnesOwnWhileShown: the memory of results is used again as soon as all
// have looked. Single commands, batches and retries of both, many at a time: each must
// find its own keys, and find them again when others have gone on meanwhile.
func TestResultsAreOnesOwnWhileShown(t *testing.T) {
	s := openTestStack(t, t.TempDir(), 2)
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	fund(t, s, "hot", 1<<60)
	var wg sync.WaitGroup
	for client := range 32 {
		wg.Go(func() {
			for round := range 40 {
				n := 1 + (client+round)%4
				cmds := make([]ledger.Command, n)
				for i := range cmds {
					cmds[i] = ledger.Command{Kind: ledger.Pay, Source: []byte("hot"), Destination: []byte("world:USD"),
						Key: fmt.Appendf(nil, "%d-%d-%d", client, round-round%2, i), Currency: usd,
						Amount: int64(1 + client), ExpiresIn: ledger.DefaultExpiry, Reference: fmt.Append(nil, client)}
				}
				check := func(results []ledger.Result, index uint64) {
					for range 3 {
						for i, res := range results {
							rec := res.Record
							if rec == nil || rec.Code != ledger.OK || rec.Amount != int64(1+client) ||
								string(rec.Command.Key) != string(cmds[i].Key) || string(rec.Command.Reference) != fmt.Sprint(client) {
								t.Errorf("command %q at index %d came to %+v", cmds[i].Key, index, res)
							}
						}
						runtime.Gosched()
					}
				}
				err := error(nil)
				if n == 1 {
					err = s.engine.Execute(&cmds[0], func(res ledger.Result, index uint64) { check([]ledger.Result{res}, index) })
				} else {
					err = s.engine.ExecuteAll(cmds, check)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
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
						var code ledger.Code
						err := s.engine.Execute(&cmd, func(res ledger.Result, _ uint64) { code = res.Record.Code })
						if err != nil || code != ledger.OK {
							b.Error(err, code)
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
				if err := s.engine.ExecuteAll(cmds, func([]ledger.Result, uint64) {}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}

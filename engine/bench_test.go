package engine

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"purser/internal/ledger"
)

// promptLog applies entries without looking at them, in one allocation each, so
// that what is measured is the engine.
type promptLog struct {
	record  ledger.Record
	entries int
	// hop, when set, takes each proposal to another goroutine and back.
	hop chan *promptProposal
}

type promptProposal struct {
	applied ledger.Applied
	err     error
	done    chan struct{}
}

func (l *promptLog) Propose(entry []byte) Proposal {
	l.entries++
	p := &promptProposal{}
	p.applied.Index = uint64(l.entries)
	p.applied.Results = make([]ledger.Result, binary.LittleEndian.Uint32(entry[4:]))
	for i := range p.applied.Results {
		p.applied.Results[i].Record = &l.record
	}
	if l.hop != nil {
		p.done = make(chan struct{})
		l.hop <- p
	}
	return p
}

func (l *promptLog) Ready() error                   { return nil }
func (l *promptLog) NextDue() (ledger.Micros, bool) { return 0, false }

func (p *promptProposal) Wait() (*ledger.Applied, error) {
	if p.done != nil {
		<-p.done
	}
	return &p.applied, p.err
}

// startPrompt starts an engine on a promptLog. The cleanup stops both.
func startPrompt(tb testing.TB, hop bool) (*Engine, *promptLog) {
	log := &promptLog{}
	if hop {
		log.hop = make(chan *promptProposal, 4)
		go func() {
			for p := range log.hop {
				close(p.done)
			}
		}()
	}
	e, err := New(Options{Log: log})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		e.Close()
		if hop {
			close(log.hop)
		}
	})
	return e, log
}

func payment(key string) *ledger.Command {
	return &ledger.Command{
		Kind:        ledger.Pay,
		Key:         []byte(key),
		Source:      []byte("alice"),
		Destination: []byte("merchant-7"),
		Currency:    ledger.Currency{'U', 'S', 'D'},
		Amount:      1250,
		ExpiresIn:   ledger.DefaultExpiry,
	}
}

func BenchmarkExecute(b *testing.B) {
	for _, mode := range []string{"at-once", "hop"} {
		for _, clients := range []int{1, 256} {
			b.Run(fmt.Sprintf("log=%s/clients=%d", mode, clients), func(b *testing.B) {
				e, log := startPrompt(b, mode == "hop")
				b.ReportAllocs()
				var next atomic.Int64
				done := make(chan struct{})
				b.ResetTimer()
				for range clients {
					go func() {
						defer func() { done <- struct{}{} }()
						cmd := payment("0123456789abcdef0123456789abcdef")
						for next.Add(1) <= int64(b.N) {
							if err := e.Execute(cmd, func(ledger.Result, uint64) {}); err != nil {
								b.Error(err)
								return
							}
						}
					}()
				}
				for range clients {
					<-done
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/float64(log.entries), "commands/entry")
			})
		}
	}
}

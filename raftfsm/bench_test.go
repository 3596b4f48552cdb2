package raftfsm

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"purser/internal/ledger"
	"purser/internal/store"
)

// BenchmarkCapture applies entries of 1000 commands over a journal on disk of
// 400,000 authorizations, with a block cache of a tenth of it: captures of
// payments at random, retries of old requests, and, to compare, new payments. The
// system has the files in memory; "slow" adds 1 ms to each read, as a
// disk in a network may.
func BenchmarkCapture(b *testing.B) {
	b.Run("memory", func(b *testing.B) { benchmarkCapture(b, vfs.Default) })
	b.Run("slow", func(b *testing.B) {
		benchmarkCapture(b, errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileReadAt {
				time.Sleep(time.Millisecond)
			}
			return nil
		})))
	})
}

func benchmarkCapture(b *testing.B, fs vfs.FS) {
	const payments, each = 400_000, 1000
	dir := b.TempDir()
	dirs := stateDirs{fs: fs, root: dir, newest: ledger.NewestFormat}
	state, err := dirs.current()
	if err != nil {
		b.Fatal(err)
	}
	f, _, err := newFSM(dirs, machineConfig{
		fs: fs, dir: state, shards: 2, retention: 24 * 3600 * ledger.Second, runKeys: 1 << 16,
		store: store.Options{CacheBytes: 4 << 20},
	}, 0, 1<<60, func(err error) { panic(err) })
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := f.close(); err != nil {
			b.Error(err)
		}
	}()
	index, stamp := uint64(0), ledger.Micros(1)
	apply := func(cmds []ledger.Command) {
		index++
		stamp++
		e := logEntry{index: index, stamp: stamp, cmds: cmds}
		if _, err := f.machine.apply(index, 1, e.encode()); err != nil {
			b.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	key := func(n uint64) []byte { return fmt.Appendf(nil, "key of request %016x", n) }
	hold := func(n uint64) ledger.Command {
		return ledger.Command{
			Kind: ledger.Authorize, Key: key(n), Source: fmt.Appendf(nil, "a%d", n%100),
			Destination: []byte("world:USD"), Currency: usd, Amount: 10, ExpiresIn: 1 << 20,
		}
	}
	var cmds []ledger.Command
	for i := range 100 {
		cmds = append(cmds, ledger.Command{Kind: ledger.CreateAccount, Source: fmt.Appendf(nil, "a%d", i), Currency: usd, Unlimited: true})
	}
	apply(cmds)
	first := f.machine.pos.Seq + 1
	for n := uint64(0); n < payments; n += each {
		cmds = cmds[:0]
		for i := range uint64(each) {
			cmds = append(cmds, hold(n+i))
		}
		apply(cmds)
	}
	if err := f.machine.freeze().write(index); err != nil {
		b.Fatal(err)
	}
	fresh := uint64(payments)
	for name, command := range map[string]func() ledger.Command{
		"new payment": func() ledger.Command { fresh++; return hold(fresh) },
		"retry":       func() ledger.Command { return hold(rng.Uint64N(payments)) },
		"capture": func() ledger.Command {
			fresh++
			return ledger.Command{Kind: ledger.Capture, Key: key(fresh), Payment: first + rng.Uint64N(payments), Amount: 1}
		},
		"retried capture": func() ledger.Command {
			n := rng.Uint64N(1000)
			return ledger.Command{Kind: ledger.Capture, Key: binary.BigEndian.AppendUint64(nil, n), Payment: first + n*397, Amount: 1}
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				for i := range cmds {
					cmds[i] = command()
				}
				b.StartTimer()
				apply(cmds)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*each), "ns/command")
		})
	}
}

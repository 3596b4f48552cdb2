package store

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"purser/internal/ledger"
)

// loggedKey is a keyed command of the log.
type loggedKey struct {
	key string
	at  ledger.Micros
}

// keyMachine drives Keys like a server that crashes and replays. The log is what
// was ever executed, by seq; some commands have no key. After a crash the log
// goes back to a checkpoint and is executed again, to the same seqs.
type keyMachine struct {
	rows *memRows
	keys *Keys
	opts KeyOptions

	log  []loggedKey // seq 1 is log[0]; key "" for a command without
	done int         // so many of it are executed
	now  ledger.Micros

	durable keyCheckpoint   // what a crash goes back to
	taken   []keyCheckpoint // after it, on their way to the disk

	release func() // lets the blocked ingest go on; nil if none is
}

type keyCheckpoint struct {
	meta []byte
	done int
	now  ledger.Micros
}

func (m *keyMachine) open(t *rapid.T, before uint64) {
	var err error
	if m.keys, err = openKeys(m.rows, m.scan, m.opts, m.durable.meta, before); err != nil {
		t.Fatal(err)
	}
}

// scan is the journal. It has rows from the future of a replay.
func (m *keyMachine) scan(from, to uint64, fn func(uint64, ledger.Micros, []byte) error) error {
	for seq := max(from, 1); seq < to; seq++ {
		if logged := m.log[seq-1]; logged.key != "" {
			if err := fn(seq, logged.at, []byte(logged.key)); err != nil {
				return err
			}
		}
	}
	return nil
}

// execute executes the next command, new or replayed.
func (m *keyMachine) execute(t *rapid.T) {
	if m.done == len(m.log) {
		logged := loggedKey{at: m.now + ledger.Micros(rapid.IntRange(1, 5).Draw(t, "after"))}
		if n := rapid.IntRange(0, 40).Draw(t, "key"); n > 0 {
			logged.key = fmt.Sprint("key-", n)
		}
		m.log = append(m.log, logged)
	}
	logged := m.log[m.done]
	m.done++
	m.now = max(m.now, logged.at)
	if logged.key == "" {
		return
	}
	if a := m.keys.active; m.release != nil && m.keys.frozen != nil &&
		(a.count >= m.opts.RunKeys || a.count > 0 && logged.at-a.oldest >= m.opts.RunSpan) {
		m.unblock(t) // the insert would wait for it
	}
	m.keys.Begin()
	err := m.keys.Insert(m.keys.Hash([]byte(logged.key)), uint64(m.done), logged.at)
	if fault := m.keys.End(); err != nil || fault != nil {
		t.Fatal(err, fault)
	}
	m.sync(t)
}

// sync awaits the sealer, unless it is blocked: a test must not depend on when
// it is done.
func (m *keyMachine) sync(t *rapid.T) {
	if m.release == nil {
		await(t, m.keys)
	}
}

func (m *keyMachine) unblock(t *rapid.T) {
	if m.release != nil {
		m.release()
		m.release = nil
		m.sync(t)
	}
}

// check verifies the candidates of one key: all rows that have not expired, none
// that is yet to be executed, the newest first.
func (m *keyMachine) check(t *rapid.T, key string) {
	hash := m.keys.Hash([]byte(key))
	got := candidatesOf(t, m.keys, hash)
	for i, seq := range got {
		switch {
		case seq == 0 || seq > uint64(m.done):
			t.Fatalf("%s: candidate %d of %v is yet to be executed: the log is at %d", key, seq, got, m.done)
		case i > 0 && seq >= got[i-1]:
			t.Fatalf("%s: candidates %v are not newest first", key, got)
		case m.keys.Hash([]byte(m.log[seq-1].key)) != hash:
			t.Fatalf("%s: candidate %d has key %q with another hash", key, seq, m.log[seq-1].key)
		}
	}
	for i, logged := range m.log[:m.done] {
		seq := uint64(i) + 1
		if logged.key == key && logged.at+m.opts.Retention > m.now && !slices.Contains(got, seq) {
			t.Fatalf("%s: seq %d of time %d is missed at %d; candidates %v", key, seq, logged.at, m.now, got)
		}
	}
}

// crash ends the process, perhaps with some deletions lost, and opens the index
// from the durable checkpoint.
func (m *keyMachine) crash(t *rapid.T) {
	m.stop(t)
	m.rows.crash(rapid.IntRange(0, 3).Draw(t, "lost"))
	m.taken = nil
	m.done, m.now = m.durable.done, m.durable.now
	m.open(t, uint64(m.done)+1)
	if rapid.Bool().Draw(t, "grouped") { // or after the lookups that follow
		m.sync(t)
	}
}

func (m *keyMachine) stop(t *rapid.T) {
	if m.release != nil {
		m.release()
		m.release = nil
	}
	if err := m.keys.Close(); err != nil {
		t.Fatal(err)
	}
}

func (m *keyMachine) checkpoint() {
	m.keys.Begin()
	m.taken = append(m.taken, keyCheckpoint{meta: m.keys.Meta(), done: m.done, now: m.now})
	_ = m.keys.End()
}

// persist makes one of the checkpoints taken the durable one.
func (m *keyMachine) persist(t *rapid.T) {
	n := rapid.IntRange(0, len(m.taken)-1).Draw(t, "checkpoint")
	m.durable = m.taken[n]
	m.taken = m.taken[n+1:]
	if !rapid.Bool().Draw(t, "told") { // a crash came first
		return
	}
	if err := m.keys.Checkpointed(m.durable.meta); err != nil {
		t.Fatal(err)
	}
}

// keyHashes are hash functions for a model: sound, colliding, and such that all
// keys are in one segment and word.
var keyHashes = map[string]func([]byte) uint64{
	"keyed":     nil,
	"four":      func(key []byte) uint64 { return spread(keySeed{1, 2}.sum(key) & 3) },
	"one":       func([]byte) uint64 { return ^uint64(0) },
	"clustered": func(key []byte) uint64 { return keySeed{1, 2}.sum(key) & 7 },
}

// TestKeysMissNothing is the model test: whatever is sealed, dropped, published
// late, lost in a crash and replayed, a key that has not expired is found.
func TestKeysMissNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &keyMachine{
			rows: newMemRows(),
			opts: KeyOptions{
				Retention: ledger.Micros(rapid.IntRange(20, 200).Draw(t, "retention")),
				RunKeys:   rapid.IntRange(1, 12).Draw(t, "run keys"),
				RunSpan:   ledger.Micros(rapid.IntRange(5, 100).Draw(t, "run span")),
			},
		}
		names := []string{"keyed", "four", "one", "clustered"}
		m.opts.hash = keyHashes[rapid.SampledFrom(names).Draw(t, "hash")]
		m.open(t, 1)
		defer func() { m.stop(t) }()
		t.Repeat(map[string]func(*rapid.T){
			"execute": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "commands") {
					m.execute(t)
				}
			},
			"pass time": func(t *rapid.T) {
				if m.done < len(m.log) {
					t.Skip("the times of a replay are in the log")
				}
				m.now += ledger.Micros(rapid.IntRange(1, 100).Draw(t, "time"))
			},
			"drop": func(t *rapid.T) {
				m.keys.Begin()
				m.keys.Drop(m.now)
				_ = m.keys.End()
			},
			"checkpoint": func(t *rapid.T) { m.checkpoint() },
			"persist": func(t *rapid.T) {
				if len(m.taken) == 0 {
					t.Skip("none taken")
				}
				m.persist(t)
			},
			"tell again": func(t *rapid.T) {
				if m.durable.meta == nil {
					t.Skip("no checkpoint")
				}
				if err := m.keys.Checkpointed(m.durable.meta); err != nil {
					t.Fatal(err)
				}
			},
			"crash": m.crash,
			// The next runs are late, until the log has to wait for them.
			"block": func(t *rapid.T) {
				if m.release == nil {
					await(t, m.keys)
					m.release = m.rows.block()
				}
			},
			"release": func(t *rapid.T) { m.unblock(t) },
			"": func(t *rapid.T) {
				for n := range 41 {
					m.check(t, fmt.Sprint("key-", n))
				}
			},
		})
	})
}

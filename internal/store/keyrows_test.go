package store

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"

	"purser/internal/ledger"
)

// memRows keeps runs in memory. Like the Store, it keeps what was ingested over
// a crash, but not always what was deleted.
type memRows struct {
	mu      sync.Mutex
	rows    map[string]string
	deleted []deletion    // that a crash may undo
	fail    error         // of the next calls
	hold    chan struct{} // if set, ingestSorted waits for it to be closed
}

var _ keyRows = (*memRows)(nil)

type deletion struct {
	start, end string
	rows       map[string]string
}

func newMemRows() *memRows { return &memRows{rows: map[string]string{}} }

func (m *memRows) ingestSorted(rows iter.Seq2[[]byte, []byte], drop keyRange) error {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	table := map[string]string{}
	var last []byte
	for key, value := range rows {
		if bytes.Compare(key, last) <= 0 {
			return fmt.Errorf("row %x after %x", key, last)
		}
		last = append(last[:0], key...)
		table[string(key)] = string(value)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if drop.start != nil {
		maps.DeleteFunc(m.rows, func(key, _ string) bool { return key >= string(drop.start) && key < string(drop.end) })
	}
	maps.Copy(m.rows, table)
	// Pebble flushes a memtable that overlaps the table, and all before it.
	for _, d := range m.deleted {
		if len(table) > 0 && d.end > minKey(table) && d.start <= string(last) {
			m.deleted = nil
			break
		}
	}
	return nil
}

func (m *memRows) scanRange(lower, upper []byte, fn func(key, value []byte) error) error {
	m.mu.Lock()
	var keys []string
	for key := range m.rows {
		if key >= string(lower) && key < string(upper) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	values := make([]string, len(keys))
	for i, key := range keys {
		values[i] = m.rows[key]
	}
	fault := m.fail
	m.mu.Unlock()
	if fault != nil {
		return fault
	}
	for i, key := range keys {
		if err := fn([]byte(key), []byte(values[i])); err != nil {
			return err
		}
	}
	return nil
}

func (m *memRows) deleteRange(start, end []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	gone := map[string]string{}
	for key, value := range m.rows {
		if key >= string(start) && key < string(end) {
			gone[key] = value
			delete(m.rows, key)
		}
	}
	m.deleted = append(m.deleted, deletion{start: string(start), end: string(end), rows: gone})
	return nil
}

func minKey(rows map[string]string) string { return slices.Min(slices.Collect(maps.Keys(rows))) }

// crash undoes the last lost deletions, as far as none of their rows was written
// again.
func (m *memRows) crash(lost int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keep := max(0, len(m.deleted)-lost)
	for i := len(m.deleted) - 1; i >= keep; i-- {
		for key, value := range m.deleted[i].rows {
			if _, ok := m.rows[key]; !ok {
				m.rows[key] = value
			}
		}
	}
	m.deleted = m.deleted[:keep]
}

// block makes ingestSorted wait until the function that it returns is called.
func (m *memRows) block() (release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	hold := make(chan struct{})
	m.hold = hold
	return sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.hold = nil
		close(hold)
	})
}

func (m *memRows) setFail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// openTestKeys opens an index over rows that no journal belongs to.
func openTestKeys(t testing.TB, rows keyRows, o KeyOptions, meta []byte) *Keys {
	t.Helper()
	k, err := openKeys(rows, noScan, o, meta, 1<<60)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func insertKey(t testing.TB, k *Keys, hash, seq uint64, at ledger.Micros) {
	t.Helper()
	k.Begin()
	err := k.Insert(hash, seq, at)
	if fault := k.End(); err != nil || fault != nil {
		t.Fatal(err, fault)
	}
}

// settle seals the active table, if it has keys, and awaits the sealer.
func settle(t testing.TB, k *Keys) {
	t.Helper()
	k.Begin()
	if k.active.count > 0 {
		if err := k.seal(); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.End(); err != nil {
		t.Fatal(err)
	}
	await(t, k)
}

// await waits until the sealer has nothing more to do.
func await(t fataler, k *Keys) {
	for more := true; more; {
		k.Begin()
		for k.err == nil && (k.frozen != nil || k.grouping) {
			k.take(<-k.sealer.done)
		}
		more = k.err == nil && len(k.loose) > 0
		if err := k.End(); err != nil {
			t.Fatal(err)
		}
	}
}

func noScan(_, _ uint64, _ func(uint64, ledger.Micros, []byte) error) error { return nil }

// fataler is a testing.TB or a rapid.T.
type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// candidatesOf asks both ways and verifies that they agree.
func candidatesOf(t fataler, k *Keys, hash uint64) []uint64 {
	k.Begin()
	got, err := k.Candidates(hash, nil)
	if fault := k.End(); err != nil || fault != nil {
		t.Fatal(err, fault)
	}
	found, err := k.Find(hash, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, found) {
		t.Fatalf("Candidates(%x) = %v, Find = %v", hash, got, found)
	}
	return got
}

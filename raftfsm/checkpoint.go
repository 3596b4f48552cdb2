package raftfsm

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"purser/internal/ledger"
	"purser/internal/store"
	"purser/shard"
)

// checkpointFormat is the newest format of a checkpoint's meta that this build
// understands.
const checkpointFormat = 1

// errCheckpointFormat says that the checkpoint was written by a newer purser.
var errCheckpointFormat = errors.New("checkpoint has a newer format")

// checkpointMeta is the row that makes the pages in the store a state: it is
// written in one table with them.
type checkpointMeta struct {
	Format   int         `json:"format"`
	Position position    `json:"position"`
	Worlds   []worldMeta `json:"worlds"`
	Keys     []byte      `json:"keys"`
	// Snapshot is the index of the raft snapshot that this checkpoint was written
	// for. It can be above Position.Index: raft counts entries of its own.
	Snapshot uint64 `json:"snapshot"`
}

type worldMeta struct {
	Currency string        `json:"currency"`
	Posted   ledger.Int128 `json:"posted"`
	Inside   ledger.Int128 `json:"inside"`
	Last     uint64        `json:"last"`
	Postings uint64        `json:"postings"`
}

func decodeCheckpointMeta(raw []byte) (meta checkpointMeta, err error) {
	if err := json.Unmarshal(raw, &meta); err != nil {
		return meta, fmt.Errorf("decode checkpoint: %w", err)
	}
	if meta.Format != checkpointFormat {
		return meta, fmt.Errorf("%w: %d, this build reads %d", errCheckpointFormat, meta.Format, checkpointFormat)
	}
	for _, w := range meta.Worlds {
		if _, ok := ledger.ParseCurrency([]byte(w.Currency)); !ok {
			return meta, fmt.Errorf("decode checkpoint: currency %q", w.Currency)
		}
	}
	return meta, nil
}

func (m *checkpointMeta) worlds() map[ledger.Currency]world {
	worlds := make(map[ledger.Currency]world, len(m.Worlds))
	for _, w := range m.Worlds {
		c, _ := ledger.ParseCurrency([]byte(w.Currency))
		worlds[c] = world{Posted: w.Posted, Inside: w.Inside, Last: w.Last, Postings: w.Postings}
	}
	return worlds
}

// frozen is the whole state between two entries, on its way to disk.
type frozen struct {
	machine  *machine
	accounts *shard.Frozen
	meta     checkpointMeta
	relayout bool
}

// freeze captures the state. It takes a time that does not depend on the number
// of accounts. The caller is the goroutine that applies entries, and there is
// one frozen state at a time.
func (m *machine) freeze() *frozen {
	m.applying.Lock()
	defer m.applying.Unlock()
	f := &frozen{
		machine:  m,
		relayout: m.group.LayoutChanged(),
		accounts: m.group.Freeze(shard.Checkpoint),
		meta: checkpointMeta{
			Format:   checkpointFormat,
			Position: m.pos,
			Keys:     m.keys.Meta(),
		},
	}
	for _, c := range currencies(m.worlds) {
		w := m.worlds[c]
		f.meta.Worlds = append(f.meta.Worlds, worldMeta{
			Currency: c.String(), Posted: w.Posted, Inside: w.Inside, Last: w.Last, Postings: w.Postings,
		})
	}
	return f
}

// write makes the frozen state the checkpoint of the store, as part of the raft
// snapshot at index. When it returns nil, everything up to there is durable
// without the log.
func (f *frozen) write(index uint64) error {
	f.meta.Snapshot = index
	raw, err := json.Marshal(&f.meta)
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	err = f.machine.store.WriteCheckpoint(store.Checkpoint{
		Meta:          raw,
		Pages:         pages(f.accounts.Pages()),
		Replace:       f.relayout,
		ExpiredBefore: f.meta.Position.Swept,
	})
	if err != nil {
		return err
	}
	return f.machine.keys.Checkpointed(f.meta.Keys)
}

func pages(in iter.Seq2[shard.Key, []byte]) iter.Seq2[store.PageKey, []byte] {
	return func(yield func(store.PageKey, []byte) bool) {
		for k, page := range in {
			if !yield(store.PageKey(k), page) {
				return
			}
		}
	}
}

// stats describes the frozen state for the snapshot's meta.
func (f *frozen) stats() SnapshotStats {
	stats := SnapshotStats{
		Accounts: uint64(f.accounts.Accounts()),
		LastSeq:  f.meta.Position.Seq,
		Digest:   formatDigest(f.meta.Position.Digest),
	}
	inside := f.accounts.Totals()
	for _, w := range f.meta.Worlds {
		c, _ := ledger.ParseCurrency([]byte(w.Currency))
		stats.Totals = append(stats.Totals, CurrencyTotal{
			Currency: w.Currency,
			Posted:   inside[c].Posted.Plus(w.Posted).String(),
			Held:     inside[c].Held.String(),
			Issued:   w.Posted.Neg().String(),
		})
	}
	return stats
}

// formatDigest spells a digest as status, snapshots and metrics show it.
func formatDigest(d uint64) string {
	const width = 16
	s := strconv.FormatUint(d, 16)
	for len(s) < width {
		s = "0" + s
	}
	return s
}

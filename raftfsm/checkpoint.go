package raftfsm

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"

	"purser/internal/ledger"
	"purser/internal/pace"
	"purser/internal/store"
	"purser/shard"
)

// ErrCheckpointDamaged says that what the checkpoint says about itself is not what
// was written.
var ErrCheckpointDamaged = errors.New("checkpoint is damaged")

// checkpointMeta is the row that makes the pages in the store a state: it is
// written in one table with them.
//
//	 0        1..3     4..7       8..
//	+--------+--------+----------+------+
//	| format | "ckp"  | CRC (LE) | JSON |
//	+--------+--------+----------+------+
//
// The CRC-32C covers the JSON, which is all of the rest.
type checkpointMeta struct {
	Position  position      `json:"position"`
	Retention ledger.Micros `json:"retention"` // of idempotency keys; see ErrRetention
	Worlds    []worldMeta   `json:"worlds"`
	Keys      []byte        `json:"keys"`
	// Membership is the cluster as of Snapshot.
	Membership membership `json:"membership,omitzero"`
	// Snapshot is the index of the raft snapshot that this checkpoint was written
	// for. It can be above Position.Index: raft counts entries of its own.
	Snapshot uint64 `json:"snapshot"`
}

const (
	checkpointMagic     = "ckp"
	checkpointHeaderLen = 8
)

type worldMeta struct {
	Currency string        `json:"currency"`
	Posted   ledger.Int128 `json:"posted"`
	Inside   ledger.Int128 `json:"inside"`
	Last     uint64        `json:"last"`
	Postings uint64        `json:"postings"`
}

func (m *checkpointMeta) encode() ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	raw := append(make([]byte, 0, checkpointHeaderLen+len(body)), byte(m.Membership.format()))
	raw = append(raw, checkpointMagic...)
	raw = binary.LittleEndian.AppendUint32(raw, crc32.Checksum(body, castagnoli))
	return append(raw, body...), nil
}

// decodeCheckpointMeta is the inverse of encode. newest is the newest format that
// the node reads. Errors wrap ErrCheckpointDamaged or ledger.ErrFormat.
func decodeCheckpointMeta(raw []byte, newest int) (meta checkpointMeta, err error) {
	if len(raw) < checkpointHeaderLen || string(raw[1:4]) != checkpointMagic {
		return meta, fmt.Errorf("%w: %d bytes of something else", ErrCheckpointDamaged, len(raw))
	}
	if err := ledger.CheckFormat("the checkpoint", int(raw[0]), newest); err != nil {
		return meta, err
	}
	body := raw[checkpointHeaderLen:]
	if want, got := binary.LittleEndian.Uint32(raw[4:]), crc32.Checksum(body, castagnoli); want != got {
		return meta, fmt.Errorf("%w: checksum %08x, of its bytes %08x", ErrCheckpointDamaged, want, got)
	}
	if err := json.Unmarshal(body, &meta); err != nil {
		return meta, fmt.Errorf("%w: %w", ErrCheckpointDamaged, err)
	}
	if format := meta.Membership.format(); int(raw[0]) != format {
		return meta, fmt.Errorf("%w: format %d, of a cluster that used %d", ErrCheckpointDamaged, raw[0], format)
	}
	for _, w := range meta.Worlds {
		if _, ok := ledger.ParseCurrency([]byte(w.Currency)); !ok {
			return meta, fmt.Errorf("%w: currency %q", ErrCheckpointDamaged, w.Currency)
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
	urgency  func() pace.Urgency // of writing it, nil for calm
}

// freeze captures the state. It takes a time that does not depend on the number
// of accounts. The caller is the goroutine that applies entries, and there is
// one frozen state at a time.
func (m *machine) freeze() *frozen {
	m.applying.Lock()
	defer m.applying.Unlock()
	f := &frozen{
		machine:  m,
		accounts: m.group.Freeze(shard.Checkpoint),
		meta: checkpointMeta{
			Position:  m.pos,
			Retention: m.retention,
			Keys:      m.keys.Meta(),

			Membership: *m.members.Load(),
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
	raw, err := f.meta.encode()
	if err != nil {
		return err
	}
	err = f.machine.store.WriteCheckpoint(store.Checkpoint{
		Meta:          raw,
		Pages:         pages(f.accounts.Pages(), f.urgency),
		Replace:       f.accounts.Whole(),
		ExpiredBefore: f.meta.Position.Swept,
	})
	if err != nil {
		return err
	}
	return f.machine.keys.Checkpointed(f.meta.Keys)
}

func pages(in iter.Seq2[shard.Key, []byte], urgency func() pace.Urgency) iter.Seq2[store.PageKey, []byte] {
	return func(yield func(store.PageKey, []byte) bool) {
		rest := pace.NewBreather(urgency)
		for k, page := range in {
			if !yield(store.PageKey(k), page) {
				return
			}
			rest.After()
		}
	}
}

// format is the one of the state, and of what is made of it.
func (f *frozen) format() int { return f.meta.Membership.format() }

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
func formatDigest(d uint64) string { return fmt.Sprintf("%016x", d) }

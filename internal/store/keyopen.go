package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"purser/internal/ledger"
	"purser/internal/planted"
)

// OpenKeys returns the index as it was when meta was taken: meta is what Meta
// returned, as the checkpoint that is now replayed from holds it, or empty if
// there is none, and before is the seq that the first command after it will
// have. Rows of runs that meta does not list are deleted; keys that are in no
// run are read from the journal. It returns ErrKeyMeta or a CorruptionError for
// what neither this package nor a crash can have left behind.
func OpenKeys(s *Store, o KeyOptions, meta []byte, before uint64) (*Keys, error) {
	return openKeys(s, s.ScanKeys, o, meta, before)
}

// scanKeys is Store.ScanKeys.
type scanKeys func(from, to uint64, fn func(seq uint64, at ledger.Micros, key []byte) error) error

func openKeys(rows keyRows, scan scanKeys, o KeyOptions, meta []byte, before uint64) (*Keys, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	m := keyMeta{from: 1, next: 1}
	if len(meta) == 0 {
		var seed [16]byte
		_, _ = rand.Read(seed[:]) // never fails
		m.seed = keySeed{binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:])}
	} else {
		var err error
		if m, err = decodeKeyMeta(meta); err != nil {
			return nil, err
		}
	}
	if m.from > max(before, 1) {
		return nil, fmt.Errorf("%w: it covers seqs below %d, the state those below %d", ErrKeyMeta, m.from, before)
	}
	k := &Keys{
		opts: o, rows: rows, seed: m.seed, sealer: newSealer(rows, o.Fatal),
		active: newKeyTable(o.RunKeys),
		next:   m.next, from: m.from, last: m.from - 1, epoch: m.epoch + 1,
	}
	if err := k.load(m.runs); err != nil {
		return nil, err
	}
	go k.sealer.loop()
	if err := k.refill(scan, before); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// load deletes the runs that are not listed and opens those that are, with the
// groups that were kept. The runs of the last group are in none at first: until the
// sealer has made one, which takes 0.14 s for a million keys, lookups ask each of
// them.
func (k *Keys) load(listed []runInfo) error {
	end := uint32(0)
	for _, info := range listed {
		if err := k.wipe(appendRunPrefix(nil, end), appendRunPrefix(nil, info.number)); err != nil {
			return err
		}
		end = info.number + 1
		r := &keyRun{runInfo: info}
		if err := r.load(k.rows); err != nil {
			return err
		}
		k.publish(r)
	}
	if err := k.loadGroups(); err != nil {
		return err
	}
	return k.wipe(appendRunPrefix(nil, end), []byte{prefixKeys + 1})
}

// loadGroups puts the runs into the groups that were kept, and those of one size into
// stripes.
func (k *Keys) loadGroups() error {
	known := make(map[uint32]*keyRun)
	for _, r := range k.runs {
		known[r.number] = r
	}
	var groups []*keyGroup // of the next stripe,
	var filters [][]uint64 // with these
	for _, r := range k.runs {
		g, filter, err := loadGroup(k.rows, r.number, known)
		if err != nil {
			return err
		}
		if g == nil || !g.publish() {
			continue
		}
		if len(groups) == stripeGroups || len(groups) > 0 && len(filters[0]) != len(filter) {
			k.addStripe(groups, filters)
			groups, filters = nil, nil
		}
		groups, filters = append(groups, g), append(filters, filter)
	}
	if len(groups) > 0 {
		k.addStripe(groups, filters)
	}
	for _, r := range k.runs {
		if r.group == nil {
			k.loose = append(k.loose, r)
		}
	}
	return nil
}

// publish takes over the members of g, a group that was kept. It reports whether
// there are any.
func (g *keyGroup) publish() bool {
	for _, member := range g.members {
		if member.group == nil { // else that of an earlier life has it, too
			member.group = g
			g.runs = append(g.runs, member)
		}
	}
	g.members = nil
	return len(g.runs) > 0
}

// addStripe puts groups into one, which the sealer goes on with.
func (k *Keys) addStripe(groups []*keyGroup, filters [][]uint64) {
	none := wordBlooms{places: len(filters[0])}
	s := &keyStripe{filters: none.beside(filters...)}
	for i, g := range groups {
		g.stripe, g.at = s, i
		s.groups[i] = g
	}
	k.stripes = append(k.stripes, s)
	k.sealer.stripe, k.sealer.filters = s, s.filters
}

// wipe deletes the rows from start to end, if there are any: a needless
// tombstone would make the runs to come overlap a memtable.
func (k *Keys) wipe(start, end []byte) error {
	err := k.rows.scanRange(start, end, func(_, _ []byte) error { return errScanEnd })
	if errors.Is(err, errScanEnd) {
		return k.rows.deleteRange(start, end)
	}
	return err
}

// refill inserts the keys of the journal rows that are in no run.
func (k *Keys) refill(scan scanKeys, before uint64) error {
	if planted.Is(planted.DedupDropped) {
		return nil
	}
	k.Begin()
	err := scan(k.from, before, func(seq uint64, at ledger.Micros, key []byte) error {
		return k.Insert(k.Hash(key), seq, at)
	})
	return errors.Join(err, k.End())
}

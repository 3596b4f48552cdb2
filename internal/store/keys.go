package store

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"purser/internal/ledger"
)

// Keys finds the journal rows that an idempotency key may have: an index from
// the hash of a key to seqs. It knows neither keys nor outcomes. Candidates may
// name rows of other keys and rows that have expired, and the caller compares
// the key and the time in the journal row itself; but it names every row that
// has not expired. So nothing that happens here, or when, decides an outcome.
//
// The newest keys are in a table in memory, older ones in sealed runs in the
// store, behind filters in memory.
//
// One goroutine, which applies the log, calls Begin, Likely, Candidates, Since,
// Insert, Drop, Meta and End. Find, Hash, Stats and Checkpointed are for any
// goroutine.
type Keys struct {
	opts   KeyOptions
	rows   keyRows
	seed   keySeed
	sealer *sealer

	// mu is held for writing from Begin to End, and guards what follows.
	mu       sync.RWMutex
	active   *keyTable
	frozen   *keyTable // being sealed; nil if none is
	spare    *keyTable // to be the next active; nil if none was made
	runs     []*keyRun // oldest first
	stripes  []*keyStripe
	loose    []*keyRun // runs that are in no group
	grouping bool      // the sealer is at one of these
	live     int       // keys in runs
	next     uint32    // number of the next run
	from     uint64    // first seq that is in no run
	last     uint64    // seq of the newest key
	epoch    uint64    // how many metas were taken
	err      error     // of the sealer: the end

	prefetched uint64 // of no meaning: it keeps the compiler from leaving out loads

	dropped dropList
}

// dropList holds the runs that are forgotten here, but that the checkpoint on
// disk may still list: a replay from there needs their rows.
type dropList struct {
	mu   sync.Mutex
	runs []droppedRun
}

type droppedRun struct {
	number uint32
	epoch  uint64 // metas from this one on do not list it
}

// Close awaits the run that is being written and ends the goroutine that writes
// runs. No other call may be under way or follow. What is in memory is in the
// journal. Close returns the error of a run that could not be written.
func (k *Keys) Close() error {
	close(k.sealer.jobs)
	<-k.sealer.stopped
	select {
	case result := <-k.sealer.done:
		return result.err
	default:
		return k.err
	}
}

// Hash is the hash of a key, for Candidates, Find and Insert. Clients cannot
// predict it.
func (k *Keys) Hash(key []byte) uint64 {
	if k.opts.hash != nil {
		return k.opts.hash(key)
	}
	return k.seed.sum(key)
}

// Begin starts a log entry: until End, Find waits.
func (k *Keys) Begin() {
	k.mu.Lock()
	if k.frozen == nil && len(k.loose) == 0 {
		return
	}
	select {
	case result := <-k.sealer.done:
		k.take(result)
	default:
	}
	if !k.grouping && len(k.loose) > 0 && k.err == nil {
		k.grouping = true
		k.sealer.jobs <- sealJob{run: k.loose[0], live: k.live}
	}
}

// End ends a log entry. It returns the error of a run that could not be written.
func (k *Keys) End() error {
	err := k.err
	k.mu.Unlock()
	return err
}

// Prefetch brings into the processor's cache what Likely and Candidates will read
// for hashes, some of one log entry's: the misses of many keys overlap, those of
// one hardly do. It changes no result. Call it between Begin and End.
func (k *Keys) Prefetch(hashes []uint64) {
	sum := uint64(0)
	for _, s := range k.stripes {
		for _, hash := range hashes {
			sum += s.filters.touch(hash)
		}
	}
	k.prefetched = sum
	k.PrefetchNewest(hashes)
}

// PrefetchNewest is Prefetch for Since and Insert.
func (k *Keys) PrefetchNewest(hashes []uint64) {
	sum := uint64(0)
	for _, hash := range hashes {
		sum += k.active.touch(hash)
	}
	if k.frozen != nil {
		for _, hash := range hashes {
			sum += k.frozen.touch(hash)
		}
	}
	k.prefetched += sum
}

// Candidates appends to dst the seqs, newest first, of all rows whose key may
// have hash. Call it between Begin and End, on any goroutine as long as the one
// that applies the log calls nothing else.
func (k *Keys) Candidates(hash uint64, dst []uint64) ([]uint64, error) {
	var buf [4]*keyRun
	dst, runs := k.collect(hash, dst, buf[:0])
	return k.lookup(hash, dst, runs)
}

// Find is Candidates for any goroutine. It reads the store without keeping the
// log waiting; a run that is dropped meanwhile may be missed.
func (k *Keys) Find(hash uint64, dst []uint64) ([]uint64, error) {
	var buf [4]*keyRun
	k.mu.RLock()
	dst, runs := k.collect(hash, dst, buf[:0])
	k.mu.RUnlock()
	return k.lookup(hash, dst, runs)
}

// collect appends to dst the seqs of the tables, and to runs the runs that
// probably have more, in any order.
func (k *Keys) collect(hash uint64, dst []uint64, runs []*keyRun) ([]uint64, []*keyRun) {
	set := wordBits(hash)
	for _, s := range k.stripes {
		runs = s.likely(runs, hash, set)
	}
	if len(k.loose) > 0 {
		runs = appendLikely(runs, k.loose, hash)
	}
	start := len(dst)
	dst = k.active.find(hash, dst)
	if k.frozen != nil {
		dst = k.frozen.find(hash, dst)
	}
	newestFirst(dst[start:])
	return dst, runs
}

func appendLikely(dst, runs []*keyRun, hash uint64) []*keyRun {
	for _, r := range runs {
		if r.filter.has(hash) {
			dst = append(dst, r)
		}
	}
	return dst
}

// lookup appends to dst what runs have, the newest run first.
func (k *Keys) lookup(hash uint64, dst []uint64, runs []*keyRun) ([]uint64, error) {
	if len(runs) == 0 {
		return dst, nil
	}
	slices.SortFunc(runs, func(a, b *keyRun) int { return cmp.Compare(b.number, a.number) })
	var err error
	for _, r := range runs {
		if dst, err = r.lookup(k.rows, hash, dst); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// Insert adds the key of the command seq, executed at log time at. Seqs ascend;
// Insert panics when they do not. It returns the error of a run that could not
// be written: the index is of no use any more, and the key is not in it. Call it
// between Begin and End.
//
// An Insert that finds the table full waits until the table before it is
// written: memory is bounded, and the disk sets the pace.
func (k *Keys) Insert(hash, seq uint64, at ledger.Micros) error {
	if k.err != nil {
		return k.err
	}
	if seq <= k.last {
		panic(fmt.Sprintf("store: idempotency key of seq %d after that of seq %d", seq, k.last))
	}
	t := k.active
	if t.count >= k.opts.RunKeys || t.count > 0 && at-t.oldest >= k.opts.RunSpan {
		if err := k.seal(); err != nil {
			return err
		}
	}
	k.active.insert(hash, seq, at)
	k.last = seq
	return nil
}

// seal freezes the active table and has its run written.
func (k *Keys) seal() error {
	for k.frozen != nil {
		if k.take(<-k.sealer.done); k.err != nil {
			return k.err
		}
	}
	t := k.active
	k.frozen, k.active, k.spare = t, k.spare, nil
	if k.active == nil {
		k.active = newKeyTable(k.opts.RunKeys)
	}
	run := &keyRun{runInfo: runInfo{
		number: k.next,
		keys:   uint32(t.count),
		first:  t.first,
		last:   t.last,
		newest: t.newest,
	}}
	k.next++
	k.sealer.jobs <- sealJob{table: t, run: run, live: k.live}
	return nil
}

// take takes over what the sealer has done.
func (k *Keys) take(result sealResult) {
	run, group := result.run, result.group
	switch {
	case result.err != nil:
		k.err = result.err
		return
	case result.table != nil:
		k.publish(run)
		k.from = run.last + 1
		k.frozen.reset()
		k.spare, k.frozen = k.frozen, nil
	default:
		k.grouping = false
		i := slices.Index(k.loose, run)
		if i < 0 { // dropped meanwhile
			return
		}
		k.loose = slices.Delete(k.loose, i, i+1)
		if group == nil {
			k.err = corrupt(appendRunPrefix(nil, run.number), "rows of an idempotency run are missing")
			return
		}
	}
	s := group.stripe
	if !slices.Contains(k.stripes, s) {
		k.stripes = append(k.stripes, s)
	}
	s.filters = result.filters
	s.groups[group.at] = group
	run.group = group
	group.runs = append(group.runs, run)
}

func (k *Keys) publish(r *keyRun) {
	k.runs = append(k.runs, r)
	k.live += int(r.keys)
}

// Drop forgets the runs of which all keys have expired at log time now. Call it
// between Begin and End. Their rows stay until Checkpointed.
func (k *Keys) Drop(now ledger.Micros) {
	n := 0
	for ; n < len(k.runs) && k.runs[n].newest+k.opts.Retention <= now; n++ {
		r := k.runs[n]
		k.live -= int(r.keys)
		k.dropped.add(droppedRun{number: r.number, epoch: k.epoch})
		g := r.group
		if g == nil {
			k.loose = slices.DeleteFunc(k.loose, func(other *keyRun) bool { return other == r })
			continue
		}
		g.runs = slices.DeleteFunc(g.runs, func(other *keyRun) bool { return other == r })
		if g.stripe.empty() {
			k.stripes = slices.DeleteFunc(k.stripes, func(other *keyStripe) bool { return other == g.stripe })
		}
	}
	k.runs = slices.Delete(k.runs, 0, n)
}

// Meta returns what OpenKeys needs to come back to this point of the log. Call
// it between Begin and End, or where no entry is being applied.
func (k *Keys) Meta() []byte {
	m := keyMeta{seed: k.seed, epoch: k.epoch, from: k.from, next: k.next}
	k.epoch++
	for _, r := range k.runs {
		m.runs = append(m.runs, r.runInfo)
	}
	return m.encode()
}

// Checkpointed says that the checkpoint with meta is durable, and that no earlier
// one will be replayed from in this directory. It deletes the rows of runs that
// were dropped before meta was taken. Any goroutine may call it, in any order.
func (k *Keys) Checkpointed(meta []byte) error {
	m, err := decodeKeyMeta(meta)
	if err != nil {
		return err
	}
	for _, number := range k.dropped.take(m.epoch) {
		if err := k.rows.deleteRange(appendRunPrefix(nil, number), appendRunPrefix(nil, number+1)); err != nil {
			return err
		}
	}
	return nil
}

// KeyStats is the size of the index.
type KeyStats struct {
	InMemory int // keys in tables
	Sealed   int // keys in runs
	Runs     int
	Bytes    int // memory of tables and filters
}

// Stats returns the size of the index.
func (k *Keys) Stats() KeyStats {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var s KeyStats
	for _, t := range []*keyTable{k.active, k.frozen, k.spare} {
		if t != nil {
			s.InMemory += t.count
			s.Bytes += t.bytes()
		}
	}
	for _, r := range k.runs {
		s.Runs++
		s.Sealed += int(r.keys)
		s.Bytes += r.filter.bytes()
	}
	for _, stripe := range k.stripes {
		s.Bytes += stripe.filters.bytes()
	}
	return s
}

func (d *dropList) add(r droppedRun) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs = append(d.runs, r)
}

// take removes and returns the runs that metas from epoch on do not list.
func (d *dropList) take(epoch uint64) (numbers []uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs = slices.DeleteFunc(d.runs, func(r droppedRun) bool {
		if r.epoch > epoch {
			return false
		}
		numbers = append(numbers, r.number)
		return true
	})
	return numbers
}

// newestFirst sorts seqs, of which there is rarely more than one.
func newestFirst(seqs []uint64) {
	if len(seqs) > 1 {
		slices.SortFunc(seqs, func(a, b uint64) int { return cmp.Compare(b, a) })
	}
}

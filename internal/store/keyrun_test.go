package store

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"testing"

	"purser/internal/ledger"
)

// Rows outside the bounds of a run are no candidates: they may be from the
// future of a replay.
func TestKeysIgnoreRowsOfAnEarlierLife(t *testing.T) {
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{RunKeys: 2}, nil)
	insertKey(t, k, 7, 10, 1)
	insertKey(t, k, 7, 12, 2)
	settle(t, k)
	for _, seq := range []uint64{9, 13} {
		rows.rows[string(appendKeyRow(nil, 1, 7, seq))] = ""
	}
	if got := candidatesOf(t, k, 7); !slices.Equal(got, []uint64{12, 10}) {
		t.Errorf("candidates %v, want those of the run", got)
	}
	again := openTestKeys(t, rows, KeyOptions{}, k.Meta())
	await(t, again)
	if got := candidatesOf(t, again, 7); !slices.Equal(got, []uint64{12, 10}) {
		t.Errorf("candidates %v after a restart, want those of the run", got)
	}
}

func groupsOf(k *Keys) (groups []*keyGroup) {
	for _, s := range k.stripes {
		for _, g := range s.groups {
			if g != nil {
				groups = append(groups, g)
			}
		}
	}
	return groups
}

// A group takes runs while it has room, and the number of groups grows with the
// logarithm of that of the keys.
func TestKeysGroupRuns(t *testing.T) {
	const runKeys = 64
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{RunKeys: runKeys}, nil)
	seq := uint64(0)
	for range 50 * runKeys {
		seq++
		insertKey(t, k, spread(seq), seq, 1)
	}
	settle(t, k)
	check := func(k *Keys) {
		t.Helper()
		runs := 0
		groups := groupsOf(k)
		for _, g := range groups {
			keys := 0
			for _, r := range g.runs {
				keys += int(r.keys)
				runs++
			}
			if room := g.stripe.filters.places * keysPerWord; keys > room {
				t.Errorf("%d keys in a filter for %d", keys, room)
			}
		}
		if runs != 50 || len(groups) != 7 || len(k.stripes) != 2 || len(k.loose) != 0 {
			t.Errorf("%d runs in %d groups in %d stripes, %d in none; want 50, 7, 2, 0",
				runs, len(groups), len(k.stripes), len(k.loose))
		}
	}
	check(k)
	again := openTestKeys(t, rows, KeyOptions{RunKeys: runKeys}, k.Meta())
	if len(again.loose) != 2 {
		t.Errorf("%d runs in no group after a restart, want those of the last group, 2", len(again.loose))
	}
	await(t, again)
	check(again)
	for seq := range seq {
		if got := candidatesOf(t, again, spread(seq+1)); !slices.Contains(got, seq+1) {
			t.Fatalf("key %d is not found after a restart: %v", seq+1, got)
		}
	}
	again.Begin()
	if likely := again.Likely(spread(1 << 40)); likely {
		t.Error("a key that nobody inserted is likely")
	}
	if err := again.End(); err != nil {
		t.Fatal(err)
	}
}

// TestKeysKeepGroupsOfDifferentSizes: once the oldest runs have expired, a restart finds
// groups of several sizes that fill no stripe.
func TestKeysKeepGroupsOfDifferentSizes(t *testing.T) {
	const keys, expired, retention = 1000, 40, 1 << 20
	o := KeyOptions{RunKeys: 4, Retention: retention, RunSpan: retention}
	rows := newMemRows()
	k := openTestKeys(t, rows, o, nil)
	for seq := uint64(1); seq <= keys; seq++ {
		insertKey(t, k, spread(seq), seq, ledger.Micros(seq))
	}
	settle(t, k)
	k.Begin()
	k.Drop(expired + retention)
	if err := k.End(); err != nil {
		t.Fatal(err)
	}
	again := openTestKeys(t, rows, o, k.Meta())
	for seq := uint64(expired + 1); seq <= keys; seq++ {
		if got := candidatesOf(t, again, spread(seq)); !slices.Contains(got, seq) {
			t.Fatalf("key %d is missed after a restart: %v", seq, got)
		}
	}
}

// groupOfEight returns rows with one full group, and the meta that goes with them.
func groupOfEight(t *testing.T) (*memRows, []byte) {
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{RunKeys: 64}, nil)
	for seq := range uint64(groupRuns * 64) {
		insertKey(t, k, spread(seq), seq+1, 1)
	}
	settle(t, k)
	return rows, k.Meta()
}

// A kept group is only that of the runs it was made of: a number may have been given
// to another run, before a crash.
func TestKeysIgnoreTheGroupOfAnEarlierLife(t *testing.T) {
	rows, meta := groupOfEight(t)
	other := newMemRows()
	k := openTestKeys(t, other, KeyOptions{RunKeys: 64}, nil)
	for seq := range uint64(groupRuns * 64) {
		insertKey(t, k, spread(seq+1<<32), seq+1, 1)
	}
	settle(t, k)
	header := string(appendGroupRow(nil, groupRuns, 0))
	if rows.rows[header] == "" || other.rows[header] == "" {
		t.Fatal("no group is kept")
	}
	for key, value := range other.rows {
		if key >= header {
			rows.rows[key] = value
		}
	}
	again := openTestKeys(t, rows, KeyOptions{RunKeys: 64}, meta)
	if len(again.loose) != groupRuns || len(again.stripes) != 0 {
		t.Errorf("%d runs in no group and %d stripes, want %d, 0", len(again.loose), len(again.stripes), groupRuns)
	}
	if got := candidatesOf(t, again, spread(3)); !slices.Contains(got, 4) {
		t.Errorf("candidates %v, want 4", got)
	}

	// The next group under the number replaces all of it, however long it was.
	rows.mu.Lock()
	rows.rows[string(appendGroupRow(nil, groupRuns, 2))] = "more of another life"
	rows.mu.Unlock()
	await(t, again)
	third := openTestKeys(t, rows, KeyOptions{RunKeys: 64}, again.Meta())
	if len(third.loose) != 0 || len(groupsOf(third)) != 1 {
		t.Errorf("%d runs in no group and %d groups, want 0, 1", len(third.loose), len(groupsOf(third)))
	}
}

// A group is kept whichever run ends it: one that fills it, or one that is too large.
func TestKeysKeepGroupsOfGrowingRuns(t *testing.T) {
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{RunKeys: 1 << 20}, nil)
	seq := uint64(0)
	for _, size := range []int{10, 11, 90, 100} {
		for range size {
			seq++
			insertKey(t, k, spread(seq), seq, 1)
		}
		settle(t, k)
	}
	again := openTestKeys(t, rows, KeyOptions{}, k.Meta())
	if groups := groupsOf(again); len(groups) != 1 || len(groups[0].runs) != 2 || len(again.loose) != 2 {
		t.Errorf("%d groups, %d runs in none; want the first two runs in one", len(groups), len(again.loose))
	}
	for seq := range seq {
		if got := candidatesOf(t, again, spread(seq+1)); !slices.Contains(got, seq+1) {
			t.Fatalf("key %d is not found: %v", seq+1, got)
		}
	}
}

// What a dropped run had in a group stays there; the rest of the group is found.
func TestKeysKeepAGroupOfWhichRunsWereDropped(t *testing.T) {
	rows := newMemRows()
	o := KeyOptions{RunKeys: 64, Retention: 100}
	k := openTestKeys(t, rows, o, nil)
	for seq := range uint64(groupRuns * 64) {
		insertKey(t, k, spread(seq), seq+1, ledger.Micros(1+seq/64))
	}
	settle(t, k)
	k.Begin()
	k.Drop(100 + 3) // the runs of times 1 to 3
	if err := k.End(); err != nil {
		t.Fatal(err)
	}
	meta := k.Meta()
	if err := k.Checkpointed(meta); err != nil {
		t.Fatal(err)
	}
	again := openTestKeys(t, rows, o, meta)
	if groups := groupsOf(again); len(groups) != 1 || len(groups[0].runs) != groupRuns-3 || len(again.loose) != 0 {
		t.Fatalf("%d groups, %d runs in none", len(groups), len(again.loose))
	}
	for seq := uint64(3 * 64); seq < groupRuns*64; seq++ {
		if got := candidatesOf(t, again, spread(seq)); !slices.Contains(got, seq+1) {
			t.Fatalf("key of %d is not found: %v", seq+1, got)
		}
	}
}

// flipIn returns a damage: one bit of the value of row.
func flipIn(row string, at int) func(map[string]string) {
	return func(r map[string]string) {
		value := []byte(r[row])
		value[at] ^= 1
		r[row] = string(value)
	}
}

// refuseDamaged opens copies of rows, each with one damage, and requires that each is
// refused as corruption.
func refuseDamaged(t *testing.T, rows *memRows, meta []byte, damages map[string]func(map[string]string)) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			damaged := newMemRows()
			maps.Copy(damaged.rows, rows.rows)
			damage(damaged.rows)
			var corruption *CorruptionError
			if _, err := openKeys(damaged, noScan, KeyOptions{}, meta, 1<<60); !errors.As(err, &corruption) {
				t.Errorf("opened with %v", err)
			}
		})
	}
}

// A group that is not whole refuses to open, as a filter does.
func TestKeysRefuseADamagedGroup(t *testing.T) {
	rows, meta := groupOfEight(t)
	header, words := string(appendGroupRow(nil, groupRuns, 0)), string(appendGroupRow(nil, groupRuns, 1))
	refuseDamaged(t, rows, meta, map[string]func(map[string]string){
		"beginning missing": func(r map[string]string) { delete(r, header) },
		"words missing":     func(r map[string]string) { delete(r, words) },
		"swapped":           func(r map[string]string) { r[header], r[words] = r[words], r[header] },
		"short":             func(r map[string]string) { r[header] = r[header][:len(r[header])-1] },
		"empty":             func(r map[string]string) { r[header] = "" },
		"version":           flipIn(header, 0),
		"checksum":          flipIn(header, 5),
		"member":            flipIn(header, groupHeaderLen),
		"bit":               flipIn(words, 100),
		"no words": func(r map[string]string) {
			value := append([]byte(r[header][:8]), make([]byte, 8)...)
			value = append(value, r[header][groupHeaderLen:]...)
			binary.LittleEndian.PutUint32(value[4:], filterSum([]byte(header), value))
			r[header] = string(value)
		},
		"more words than memory": func(r map[string]string) {
			value := []byte(r[header])
			binary.LittleEndian.PutUint64(value[8:], 1<<60)
			binary.LittleEndian.PutUint32(value[4:], filterSum([]byte(header), value))
			r[header] = string(value)
		},
	})
}

func TestKeysReportALookupThatFails(t *testing.T) {
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{RunKeys: 2}, nil)
	insertKey(t, k, 1, 1, 1)
	settle(t, k)
	fault := errors.New("disk on fire")
	rows.setFail(fault)
	if got, err := k.Find(1, []uint64{5}); !errors.Is(err, fault) || !slices.Equal(got, []uint64{5}) {
		t.Errorf("Find returned %v, %v", got, err)
	}
	rows.setFail(nil)
}

// A filter that is not whole refuses to open: with it, keys would be missed.
func TestKeysRefuseADamagedFilter(t *testing.T) {
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{RunKeys: 1 << 20}, nil)
	const keys = filterChunkWords*64/blockBitsPerKey + 1000 // two chunks
	for seq := range uint64(keys) {
		insertKey(t, k, spread(seq), seq+1, 1)
	}
	settle(t, k)
	meta := k.Meta()
	first, second := string(appendFilterRow(nil, 1, 0)), string(appendFilterRow(nil, 1, 1))
	if len(rows.rows[second]) == 0 {
		t.Fatal("the filter is not in two chunks")
	}
	refuseDamaged(t, rows, meta, map[string]func(map[string]string){
		"first missing":  func(r map[string]string) { delete(r, first) },
		"second missing": func(r map[string]string) { delete(r, second) },
		"all missing":    func(r map[string]string) { delete(r, first); delete(r, second) },
		"swapped":        func(r map[string]string) { r[first], r[second] = r[second], r[first] },
		"short":          func(r map[string]string) { r[second] = r[second][:len(r[second])-8] },
		"long":           func(r map[string]string) { r[second] += "12345678" },
		"empty":          func(r map[string]string) { r[first] = "" },
		"one more":       func(r map[string]string) { r[string(appendFilterRow(nil, 1, 2))] = r[second] },
		"version":        flipIn(first, 0),
		"checksum":       flipIn(second, 5),
		"bit":            flipIn(first, 1000),
	})
	t.Run("row missing", func(t *testing.T) {
		damaged := newMemRows()
		for key, value := range rows.rows {
			damaged.rows[key] = value
		}
		delete(damaged.rows, string(appendKeyRow(nil, 1, spread(5), 6)))
		k, err := openKeys(damaged, noScan, KeyOptions{}, meta, 1<<60)
		if err != nil {
			t.Fatal(err)
		}
		k.Begin()
		k.take(<-k.sealer.done)
		var corruption *CorruptionError
		if err := k.End(); !errors.As(err, &corruption) {
			t.Errorf("End returned %v", err)
		}
		if err := k.Close(); !errors.As(err, &corruption) {
			t.Errorf("Close returned %v", err)
		}
	})
}

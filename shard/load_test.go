package shard

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"purser/internal/ledger"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// samplePage has accounts of all kinds.
func samplePage() *page {
	p := &page{epoch: 1}
	p.add([]byte("alice"), &ledger.Account{
		Number: 1, Posted: -250, Held: 30, Limit: 1000, Version: 7, CreatedAt: 1_700_000_000_000_000,
		UpdatedAt: 1_700_000_000_000_042, LastSeq: 912, Postings: 5, Currency: usd, Status: ledger.Active,
	}, ledger.AppendMetadata(nil, []ledger.Pair{{Key: []byte("k"), Value: []byte("v")}}))
	p.add([]byte("b"), &ledger.Account{Number: 2, Version: 1, Currency: usd, Status: ledger.Frozen, Unlimited: true}, nil)
	p.add([]byte("c:closed"), &ledger.Account{Number: 3, Version: 2, Currency: usd, Status: ledger.Closed}, nil)
	return p
}

// The format of pages is a contract, like every stored format.
func TestPageGolden(t *testing.T) {
	got := hex.EncodeToString(appendPage(nil, samplePage(), Key{0, 0}, 1)) + "\n"
	path := filepath.Join("testdata", "page.hex")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-golden +encoded):\n%s", diff)
	}
}

// Every flipped bit and every truncation of a page is refused, by name.
func TestDamagedPage(t *testing.T) {
	key := Key{Shard: 0, Page: 0}
	good := appendPage(nil, samplePage(), key, 1)
	refused := func(what string, data []byte) {
		t.Helper()
		g := newGroup(t, mode{shards: 1, policy: measured})
		defer g.Close()
		var damaged *DamagedPageError
		if err := g.Load(key, data); !errors.As(err, &damaged) || damaged.Key != key {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range good {
		for bit := range 8 {
			data := slices.Clone(good)
			data[i] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d", bit, i), data)
		}
		refused(fmt.Sprintf("cut to %d bytes", i), good[:i])
	}
	refused("a byte too many", append(slices.Clone(good), 0))
}

// Pages whose checksum is right are refused when they cannot be what was
// written.
func TestWrongPage(t *testing.T) {
	sign := func(data []byte) []byte {
		body := data[:len(data)-pageSumLen]
		return binary.LittleEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, castagnoli))
	}
	change := func(at int, to byte) []byte {
		data := appendPage(nil, samplePage(), Key{0, 0}, 1)
		data[at] = to
		return sign(data)
	}
	account := func(change func(p *page)) []byte {
		p := samplePage()
		change(p)
		return appendPage(nil, p, Key{0, 0}, 1)
	}
	tests := map[string]struct {
		data []byte
		want string
	}{
		"newer format":    {change(0, 2), "format 2"},
		"no accounts":     {change(1, 0), "header"},
		"too many":        {change(1, 65), "header"},
		"reserved bytes":  {change(3, 1), "header"},
		"no shards":       {change(4, 0), "header"},
		"other shard":     {change(8, 1), "page 0 of shard 1"},
		"other page":      {change(12, 1), "page 1 of shard 0"},
		"fewer accounts":  {change(1, 2), "bad account"},
		"more accounts":   {change(1, 4), "bad account"},
		"unknown flags":   {account(func(p *page) { p.setMetadata(2, nil); p.accounts[2].Status = 9 }), "bad account"},
		"negative hold":   {account(func(p *page) { p.accounts[0].Held = -1 }), "bad account"},
		"negative limit":  {account(func(p *page) { p.accounts[0].Limit = -1 }), "bad account"},
		"beyond balance":  {account(func(p *page) { p.accounts[0].Posted = -1 << 63 }), "bad account"},
		"held and beyond": {account(func(p *page) { p.accounts[0].Posted, p.accounts[0].Held = -1<<62, 1<<62 }), "bad account"},
		"no number":       {account(func(p *page) { p.accounts[0].Number = 0 }), "bad account"},
		"no version":      {account(func(p *page) { p.accounts[0].Version = 0 }), "bad account"},
		"bad id":          {account(func(p *page) { p.ids[0] = '-' }), "bad account"},
		"world account":   {account(func(p *page) { p.add([]byte("world:USD"), &p.accounts[0], nil) }), "bad account"},
		"twice":           {account(func(p *page) { p.add([]byte("alice"), &p.accounts[0], nil) }), "twice"},
		"too many shards": {appendPage(nil, samplePage(), Key{0, 0}, MaxShards+1), "header"},
	}
	for name, tt := range tests {
		g := newGroup(t, mode{shards: 1, policy: measured})
		var damaged *DamagedPageError
		if err := g.Load(Key{0, 0}, tt.data); !errors.As(err, &damaged) || !strings.Contains(damaged.Reason, tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		g.Close()
	}
}

// stored returns the rows of a checkpoint of n accounts over shards.
func stored(t *testing.T, shards, n int) (rows, uint64) {
	t.Helper()
	g := newGroup(t, mode{shards: shards, policy: measured})
	defer g.Close()
	open(g, "a", n)
	f := g.Freeze(Checkpoint)
	defer f.Done(true)
	r := rows{}
	r.write(f)
	return r, f.StateHash()
}

func TestLoadWithTheSameShards(t *testing.T) {
	r, hash := stored(t, 3, 2000)
	g := newGroup(t, mode{shards: 3, policy: measured})
	defer g.Close()
	if err := r.load(g); err != nil {
		t.Fatal(err)
	}
	if got := g.StateHash(); got != hash {
		t.Errorf("state hash %x, want %x", got, hash)
	}
	f := g.Freeze(Checkpoint)
	if keys := dirty(f); len(keys) > 0 || f.Whole() {
		t.Errorf("%d pages are dirty, whole: %v", len(keys), f.Whole())
	}
	f.Done(true)
	// New accounts go on where the last page ended.
	open(g, "b", 100)
	f = g.Freeze(Checkpoint)
	defer f.Done(true)
	r.write(f)
	again := newGroup(t, mode{shards: 3, policy: measured})
	defer again.Close()
	if err := r.load(again); err != nil {
		t.Fatal(err)
	}
	if got := again.StateHash(); got != f.StateHash() || got == hash {
		t.Errorf("state hash %x after a second checkpoint, want %x", got, f.StateHash())
	}
}

func TestLoadWithOtherShards(t *testing.T) {
	r, hash := stored(t, 3, 2000)
	for _, shards := range []int{1, 2, 5} {
		g := newGroup(t, mode{shards: shards, policy: measured})
		if err := r.load(g); err != nil {
			t.Fatal(err)
		}
		if got := g.StateHash(); got != hash {
			t.Errorf("%d shards: state hash %x, want %x", shards, got, hash)
		}
		failed := g.Freeze(Checkpoint)
		if !failed.Whole() {
			t.Errorf("%d shards: rows of another layout are left", shards)
		}
		failed.Done(false)
		f := g.Freeze(Checkpoint)
		all := maps.Clone(r)
		all.write(f)
		f.Done(true)
		settled := g.Freeze(Checkpoint)
		if settled.Whole() {
			t.Errorf("%d shards: everything is written once more", shards)
		}
		settled.Done(true)
		again := newGroup(t, mode{shards: shards, policy: measured})
		if err := all.load(again); err != nil {
			t.Fatal(err)
		}
		if got := again.StateHash(); got != hash {
			t.Errorf("%d shards: the new rows have state hash %x, want %x", shards, got, hash)
		}
		again.Close()
		g.Close()
	}
}

// Rows that do not belong together are refused.
func TestLoadMixedRows(t *testing.T) {
	two, _ := stored(t, 2, 1000)
	one, _ := stored(t, 1, 1000)
	tests := map[string]struct {
		load []Key
		from []rows
		want string
	}{
		"a gap":            {[]Key{{0, 0}, {0, 2}}, []rows{two, two}, "page 1 was expected"},
		"twice":            {[]Key{{0, 0}, {0, 0}}, []rows{two, two}, "page 1 was expected"},
		"two layouts":      {[]Key{{0, 0}, {0, 1}}, []rows{two, one}, "for 1 shards"},
		"renamed and same": {[]Key{{0, 0}, {1, 0}}, []rows{two, {Key{1, 0}: one[Key{0, 0}]}}, "page 0 of shard 0"},
	}
	for name, tt := range tests {
		g := newGroup(t, mode{shards: 2, policy: measured})
		var err error
		for i, key := range tt.load {
			if err = g.Load(key, tt.from[i][key]); err != nil {
				break
			}
		}
		var damaged *DamagedPageError
		if !errors.As(err, &damaged) || !strings.Contains(damaged.Reason, tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		g.Close()
	}
}

// A page of a shard that its accounts do not belong to is refused, even signed.
func TestLoadMisplacedAccounts(t *testing.T) {
	two, _ := stored(t, 2, 1000)
	p, shards, err := decodePage(Key{0, 0}, two[Key{0, 0}])
	if err != nil {
		t.Fatal(err)
	}
	g := newGroup(t, mode{shards: 2, policy: measured})
	defer g.Close()
	err = g.Load(Key{1, 0}, appendPage(nil, p, Key{1, 0}, int(shards)))
	if err == nil || !strings.Contains(err.Error(), "belongs to shard 0") {
		t.Errorf("loaded: %v", err)
	}
}

// FuzzDecodePage: no bytes make it panic, and what is accepted is what would be
// written. The checksum is put right, or nothing would get past it.
func FuzzDecodePage(f *testing.F) {
	f.Add(appendPage(nil, samplePage(), Key{0, 0}, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < pageSumLen {
			return
		}
		body := data[:len(data)-pageSumLen]
		data = binary.LittleEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, castagnoli))
		p, shards, err := decodePage(Key{0, 0}, data)
		if err != nil {
			return
		}
		again, _, err := decodePage(Key{0, 0}, appendPage(nil, p, Key{0, 0}, int(shards)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, again, cmp.AllowUnexported(page{})); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
	})
}

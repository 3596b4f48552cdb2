package store

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeyMetaRoundTrip(t *testing.T) {
	want := keyMeta{
		seed: keySeed{1, 2}, epoch: 3, from: 100, next: 9,
		runs: []runInfo{{number: 4, keys: 5, first: 6, last: 20, newest: 7}, {number: 8, keys: 1, first: 30, last: 30, newest: 9}},
	}
	encoded := want.encode()
	got, err := decodeKeyMeta(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(keyMeta{}, runInfo{})); diff != "" {
		t.Error(diff)
	}
	const golden = "016b65796f8942100100000000000000020000000000000003000000000000006400000000000000" +
		"09000000020000000400000005000000060000000000000014000000000000000700000000000000" +
		"08000000010000001e000000000000001e000000000000000900000000000000"
	if hex := fmt.Sprintf("%x", encoded); hex != golden {
		t.Errorf("encoded as %s, want %s", hex, golden)
	}
	for i := range encoded {
		if _, err := decodeKeyMeta(encoded[:i]); !errors.Is(err, ErrKeyMeta) {
			t.Errorf("%d bytes: %v", i, err)
		}
		damaged := bytes.Clone(encoded)
		damaged[i] ^= 4
		if _, err := decodeKeyMeta(damaged); !errors.Is(err, ErrKeyMeta) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestKeyMetaMustMakeSense(t *testing.T) {
	run := runInfo{number: 2, keys: 1, first: 5, last: 6, newest: 7}
	for name, m := range map[string]keyMeta{
		"run beyond next": {from: 7, next: 2, runs: []runInfo{run}},
		"run beyond from": {from: 6, next: 3, runs: []runInfo{run}},
		"twice":           {from: 7, next: 3, runs: []runInfo{run, run}},
		"empty":           {from: 7, next: 3, runs: []runInfo{{number: 2, first: 5, last: 6}}},
		"backward":        {from: 7, next: 3, runs: []runInfo{{number: 2, keys: 1, first: 6, last: 5}}},
	} {
		if _, err := decodeKeyMeta(m.encode()); !errors.Is(err, ErrKeyMeta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	later := keyMeta{from: 50, next: 1}
	if _, err := openKeys(newMemRows(), noScan, KeyOptions{}, later.encode(), 49); !errors.Is(err, ErrKeyMeta) {
		t.Errorf("a meta from the future of the state: %v", err)
	}
}

func FuzzKeyMeta(f *testing.F) {
	f.Add((&keyMeta{from: 1, next: 1}).encode())
	f.Add((&keyMeta{from: 9, next: 3, runs: []runInfo{{number: 2, keys: 1, first: 5, last: 6, newest: 7}}}).encode())
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := decodeKeyMeta(src)
		if err != nil {
			if !errors.Is(err, ErrKeyMeta) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(m.encode(), src) {
			t.Fatalf("%x is encoded as %x", src, m.encode())
		}
	})
}

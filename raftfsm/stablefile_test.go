package raftfsm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stableRecord is the record of a node that has voted twice.
func stableRecord(t testing.TB) []byte {
	t.Helper()
	states := stableStates(t)
	raw, err := encodeStable(states[len(states)-1])
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestStableRecordDamage gives every byte of the record every other value, and
// cuts it at every length: each is refused.
func TestStableRecordDamage(t *testing.T) {
	good := stableRecord(t)
	if _, err := decodeStable(good); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, at int, raw []byte) {
		t.Helper()
		_, err := decodeStable(raw)
		if !errors.Is(err, ErrStableDamaged) && !errors.Is(err, ErrStableFormat) {
			t.Fatalf("%s at %d: %v", what, at, err)
		}
	}
	for at := range good {
		refused("cut", at, good[:at])
		raw := bytes.Clone(good)
		for flip := 1; flip < 256; flip++ {
			raw[at] = good[at] ^ byte(flip)
			refused("changed", at, raw)
		}
	}
	for n := range 4096 {
		refused("longer", n, append(bytes.Clone(good), make([]byte, n+1)...))
	}
}

// Damage with a checksum that holds is of a program, not of a disk; it is refused
// all the same.
func TestStableRecordMustMakeSense(t *testing.T) {
	good := stableRecord(t)
	for name, test := range map[string]struct {
		change func([]byte) []byte
		want   error
	}{
		"newer":      {func(b []byte) []byte { b[4]++; return b }, ErrStableFormat},
		"version 0":  {func(b []byte) []byte { b[4] = 0; return b }, ErrStableDamaged},
		"not zero":   {func(b []byte) []byte { b[6] = 1; return b }, ErrStableDamaged},
		"length":     {func(b []byte) []byte { b[12]++; return b }, ErrStableDamaged},
		"long key":   {func(b []byte) []byte { b[16] = 255; return b }, ErrStableDamaged},
		"long value": {func(b []byte) []byte { b[18] = 255; return b }, ErrStableDamaged},
		"order":      {func(b []byte) []byte { b[19] = 'z'; return b }, ErrStableDamaged},
		"tail": {func(b []byte) []byte {
			b = append(b, 0, 0)
			binary.LittleEndian.PutUint32(b[12:], uint32(len(b)))
			return b
		}, ErrStableDamaged},
	} {
		raw := test.change(bytes.Clone(good))
		binary.LittleEndian.PutUint32(raw[8:], stableSum(raw))
		if _, err := decodeStable(raw); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// TestStableEncodingIsStable pins the bytes: data directories hold them.
func TestStableEncodingIsStable(t *testing.T) {
	got, err := encodeStable(map[string][]byte{"LastVoteTerm": {7: 3}, "CurrentTerm": {7: 4}, "x": {}})
	if err != nil {
		t.Fatal(err)
	}
	const golden = "5072537401000000" + "00000000" + "41000000" +
		"0b0800" + "43757272656e745465726d" + "0000000000000004" +
		"0c0800" + "4c617374566f74655465726d" + "0000000000000003" +
		"010000" + "78"
	clear(got[8:12])
	if h := hex.EncodeToString(got); h != golden {
		t.Errorf("encoding changed:\n got %s\nwant %s", h, golden)
	}
}

func FuzzDecodeStable(f *testing.F) {
	f.Add(stableRecord(f))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= stableHeaderLen { // else the checksum stops nearly all of them
			binary.LittleEndian.PutUint32(b[8:], stableSum(b))
		}
		values, err := decodeStable(b)
		if err != nil {
			return
		}
		again, err := encodeStable(values)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x decodes to %q, which encodes to %x, %v", b, values, again, err)
		}
		if diff := cmp.Diff(values, mustDecode(t, again)); diff != "" {
			t.Error(diff)
		}
	})
}

func mustDecode(t *testing.T, b []byte) map[string][]byte {
	t.Helper()
	values, err := decodeStable(b)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

package wal

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// BenchmarkStoreLogs appends groups of 150-byte entries, to memory for the cost
// of the code and to the disk of the temporary directory for the whole.
func BenchmarkStoreLogs(b *testing.B) {
	for _, disk := range []bool{false, true} {
		for _, group := range []int{1, 16, 64, 512} {
			name := fmt.Sprintf("mem/%d", group)
			o := Options{FS: vfs.NewMem(), Dir: "wal"}
			if disk {
				name = fmt.Sprintf("disk/%d", group)
				o = Options{Dir: b.TempDir()}
			}
			b.Run(name, func(b *testing.B) { benchmarkStoreLogs(b, o, group) })
		}
	}
}

func benchmarkStoreLogs(b *testing.B, o Options, group int) {
	l, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer mustClose(b, l)
	_, last := l.index.front, l.index.next
	logs := make([]*raft.Log, group)
	for i := range logs {
		logs[i] = &raft.Log{Index: last + uint64(i), Term: 1, Data: make([]byte, 150)}
	}
	b.SetBytes(appendFrameBytes(logs))
	b.ReportAllocs()
	for b.Loop() {
		if err := l.StoreLogs(logs); err != nil {
			b.Fatal(err)
		}
		for _, e := range logs {
			e.Index += uint64(group)
		}
		if l.Stats().Segments > 3 {
			if err := l.DeleteRange(0, logs[0].Index-1); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkGetLog(b *testing.B) {
	l := mustOpen(b, vfs.NewMem(), 1<<20)
	defer mustClose(b, l)
	if err := l.StoreLogs(entries(1, 1, 150, 150)); err != nil {
		b.Fatal(err)
	}
	var e raft.Log
	b.ReportAllocs()
	for b.Loop() {
		if err := l.GetLog(2, &e); err != nil {
			b.Fatal(err)
		}
	}
}

package wal

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// TestSteps runs a fixed workload through every kind of frame and rotation, and
// compares with the model before and after a reopening at each step.
func TestSteps(t *testing.T) {
	for _, segmentBytes := range []int64{minSegmentBytes, 1000, 4096, 1 << 20} {
		t.Run(fmt.Sprint(segmentBytes), func(t *testing.T) {
			fs := vfs.NewMem()
			l := mustOpen(t, fs, segmentBytes)
			var m model
			for k, s := range workload() {
				if err := s.run(l); err != nil {
					t.Fatalf("step %d: %v", k, err)
				}
				m = s.after(m)
				if d := m.differs(l); d != "" {
					t.Fatalf("step %d: %s", k, d)
				}
				mustClose(t, l)
				l = mustOpen(t, fs, segmentBytes)
				if d := m.differs(l); d != "" {
					t.Fatalf("reopened after step %d: %s", k, d)
				}
			}
			mustClose(t, l)
		})
	}
}

// workload has appends of all sizes, every truncation, rotations by small and
// by large frames, for segments of a few KiB.
func workload() []step {
	return []step{
		{logs: entries(1, 1, 0, 10, 100)},
		{logs: entries(4, 1, 3000)},
		{logs: entries(5, 1, 700, 700, 700)},
		{min: 6, max: 7},
		{logs: entries(6, 2, 50, 60)},
		{min: 1, max: 2},
		{logs: entries(8, 2, 12000)}, // larger than a segment of 4096
		{logs: entries(9, 2, 20)},
		{min: 4, max: 99},
		{logs: entries(4, 3, 900, 9000, 900)},
		{min: 0, max: 5},
		{logs: entries(7, 3, 2000)},
		{min: 6, max: 7}, // empty
		{logs: entries(100, 4, 300)},
		{logs: entries(101, 4, 5000)},
		{logs: entries(102, 4, 1, 2, 3, 4, 5, 6)},
		{min: 100, max: 101},
	}
}

func TestRandomAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		open := func() *Log {
			l, err := Open(Options{FS: fs, Dir: "wal", SegmentBytes: rapid.Int64Range(minSegmentBytes, 5000).Draw(t, "segment")})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		l := open()
		defer func() { _ = l.Close() }()
		var m model
		term := uint64(1)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				_, last := m.bounds()
				if len(m) == 0 {
					last = rapid.Uint64Range(0, 1000).Draw(t, "last")
				}
				term++
				s := step{logs: entries(last+1, term, rapid.SliceOfN(rapid.IntRange(0, 2000), 1, 5).Draw(t, "sizes")...)}
				if err := s.run(l); err != nil {
					t.Fatal(err)
				}
				m = s.after(m)
			},
			"delete": func(t *rapid.T) {
				first, last := m.bounds()
				min := rapid.Uint64Range(0, last+2).Draw(t, "min")
				max := rapid.Uint64Range(min, last+2).Draw(t, "max")
				err := l.DeleteRange(min, max)
				if min > first && max < last {
					if !errors.Is(err, ErrMiddle) {
						t.Fatalf("delete [%d, %d]: %v", min, max, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				m = m.without(min, max)
			},
			"reopen": func(t *rapid.T) {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = open()
			},
			"": func(t *rapid.T) {
				if d := m.differs(l); d != "" {
					t.Fatal(d)
				}
			},
		})
	})
}

func TestRefusalsChangeNothing(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, fs, 4096)
	defer mustClose(t, l)
	m := model(entries(5, 1, 10, 20, 30))
	if err := l.StoreLogs(m); err != nil {
		t.Fatal(err)
	}
	before := readDir(t, fs)[segmentName(1)]
	for _, logs := range [][]*raft.Log{
		{entry(9, 1, 1)}, {entry(7, 1, 1)}, {entry(0, 1, 1)}, {entry(8, 1, 1), entry(10, 1, 1)},
	} {
		if err := l.StoreLogs(logs); !errors.Is(err, ErrGap) {
			t.Fatalf("StoreLogs: %v, want ErrGap", err)
		}
	}
	if err := l.DeleteRange(6, 6); !errors.Is(err, ErrMiddle) {
		t.Fatalf("DeleteRange: %v, want ErrMiddle", err)
	}
	for _, r := range [][2]uint64{{7, 6}, {1, 4}, {8, 9}} {
		if err := l.DeleteRange(r[0], r[1]); err != nil {
			t.Fatalf("DeleteRange%v: %v", r, err)
		}
	}
	if err := l.StoreLogs(nil); err != nil {
		t.Fatal(err)
	}
	if string(readDir(t, fs)[segmentName(1)]) != string(before) {
		t.Fatal("a refused call wrote to the segment")
	}
	if d := m.differs(l); d != "" {
		t.Fatal(d)
	}
	// The first entry of an empty log may have any index but 0.
	if err := l.DeleteRange(0, 99); err != nil {
		t.Fatal(err)
	}
	if err := l.StoreLog(entry(0, 1, 1)); !errors.Is(err, ErrGap) {
		t.Fatalf("StoreLog of index 0: %v", err)
	}
	if err := l.StoreLog(entry(^uint64(0), 1, 1)); !errors.Is(err, ErrGap) {
		t.Fatalf("StoreLog of the largest index: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	l := mustOpen(t, vfs.NewMem(), 4096)
	defer mustClose(t, l)
	// The same 64 MiB are referred to 16 times; nothing is copied.
	data := make([]byte, 64<<20)
	var logs []*raft.Log
	for i := range uint64(16) {
		logs = append(logs, &raft.Log{Index: i + 1, Data: data})
	}
	if err := l.StoreLogs(logs); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("StoreLogs: %v, want ErrTooLarge", err)
	}
	if d := (model{}).differs(l); d != "" {
		t.Fatal(d)
	}
}

func TestTimeRoundTrip(t *testing.T) {
	l := mustOpen(t, vfs.NewMem(), 4096)
	defer mustClose(t, l)
	for i, at := range []time.Time{{}, time.Now(), time.Unix(-5, 3),
		time.Date(2400, 1, 2, 3, 4, 5, 999999999, time.FixedZone("x", 3600))} {
		want := &raft.Log{Index: uint64(i) + 1, AppendedAt: at}
		if err := l.StoreLog(want); err != nil {
			t.Fatal(err)
		}
		var got raft.Log
		if err := l.GetLog(want.Index, &got); err != nil {
			t.Fatal(err)
		}
		if !got.AppendedAt.Equal(at) || got.AppendedAt.IsZero() != at.IsZero() || got.AppendedAt.Location() != time.UTC {
			t.Fatalf("AppendedAt is %v, want %v", got.AppendedAt, at)
		}
	}
}

func TestGetLogOwnsBytes(t *testing.T) {
	l := mustOpen(t, vfs.NewMem(), 4096)
	defer mustClose(t, l)
	if err := l.StoreLogs(entries(3, 1, 10, 10)); err != nil {
		t.Fatal(err)
	}
	var a, b raft.Log
	if err := l.GetLog(3, &a); err != nil {
		t.Fatal(err)
	}
	_ = append(a.Data, 'x') // must not reach the extensions
	a.Data[0] = 99
	if err := l.GetLog(3, &b); err != nil {
		t.Fatal(err)
	}
	if !sameEntry(&b, entry(3, 1, 10)) || string(a.Extensions) != "ext 3" {
		t.Fatalf("entries share memory: %+v %+v", a, b)
	}
}

func TestClose(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, fs, 4096)
	if _, err := Open(Options{FS: fs, Dir: "wal"}); err == nil {
		t.Fatal("a second Open of the same directory succeeded")
	}
	mustClose(t, l)
	mustClose(t, l)
	var e raft.Log
	_, err1 := l.FirstIndex()
	_, err2 := l.LastIndex()
	for i, err := range []error{err1, err2, l.GetLog(1, &e), l.StoreLog(entry(1, 1, 1)), l.DeleteRange(1, 1)} {
		if !errors.Is(err, ErrClosed) {
			t.Fatalf("call %d after Close: %v", i, err)
		}
	}
	mustClose(t, mustOpen(t, fs, 4096))
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{}, {Dir: "x", SegmentBytes: 100}, {Dir: "x", SegmentBytes: 4 << 30}} {
		if err := o.Validate(); err == nil {
			t.Errorf("%+v is accepted", o)
		}
		if _, err := Open(o); err == nil {
			t.Errorf("%+v is opened", o)
		}
	}
	if err := (Options{Dir: "x"}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestStatsAndObserve(t *testing.T) {
	var seen []Append
	l, err := Open(Options{FS: vfs.NewMem(), Dir: "wal", SegmentBytes: 1024,
		Observe: func(a Append) { seen = append(seen, a) }})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, l)
	for i := range uint64(3) {
		if err := l.StoreLogs(entries(i*2+1, 1, 300, 300)); err != nil {
			t.Fatal(err)
		}
	}
	if st := l.Stats(); st != (Stats{Segments: 3, Bytes: 3 * 1024, First: 1, Last: 6}) {
		t.Fatalf("stats %+v", st)
	}
	if err := l.DeleteRange(1, 4); err != nil {
		t.Fatal(err)
	}
	if st := l.Stats(); st != (Stats{Segments: 1, Bytes: 1024, First: 5, Last: 6}) {
		t.Fatalf("stats %+v", st)
	}
	if len(seen) != 3 || seen[0].Entries != 2 || seen[0].Bytes < 600 {
		t.Fatalf("observed %+v", seen)
	}
}

// TestReadersBesideWriter holds a sync back until reads have been made.
func TestReadersBesideWriter(t *testing.T) {
	var hold sync.Mutex
	inSync := make(chan struct{}, 100)
	var armed bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData {
			hold.Lock()
			defer hold.Unlock()
			if armed {
				inSync <- struct{}{}
			}
		}
		return nil
	}))
	l := mustOpen(t, fs, 1<<20)
	defer mustClose(t, l)
	m := model(entries(1, 1, 10, 20, 30))
	if err := l.StoreLogs(m); err != nil {
		t.Fatal(err)
	}
	l.awaitPrepared()
	hold.Lock()
	armed = true
	done := make(chan error)
	go func() { done <- l.StoreLogs(entries(4, 1, 40)) }()
	// The append cannot finish while hold is held; the reads must.
	if d := m.differs(l); d != "" {
		t.Fatal(d)
	}
	hold.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(inSync) == 0 {
		t.Fatal("the append was not held in its sync")
	}
	if d := m.with(entries(4, 1, 40)).differs(l); d != "" {
		t.Fatal(d)
	}
}

// TestConcurrentReads is for the race detector: readers follow a writer that
// appends, rotates and truncates.
func TestConcurrentReads(t *testing.T) {
	l := mustOpen(t, vfs.NewMem(), 2048)
	defer mustClose(t, l)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			var e raft.Log
			for {
				select {
				case <-stop:
					return
				default:
				}
				first, _ := l.FirstIndex()
				last, _ := l.LastIndex()
				for i := first; i <= last; i++ {
					if err := l.GetLog(i, &e); err != nil {
						if err != raft.ErrLogNotFound {
							t.Errorf("entry %d: %v", i, err)
							return
						}
					} else if e.Index != i {
						t.Errorf("entry %d has index %d", i, e.Index)
						return
					}
				}
				l.Stats()
			}
		})
	}
	for i := uint64(1); i < 400; i++ {
		if err := l.StoreLogs(entries(i, 1, int(i%300))); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			if err := l.DeleteRange(0, i-20); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	wg.Wait()
}

func TestStoreLogsAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l := mustOpen(t, vfs.NewMem(), 32<<20)
	defer mustClose(t, l)
	l.awaitPrepared()
	logs := entries(1, 1, make([]int, 64)...)
	for _, e := range logs {
		e.Data = make([]byte, 150)
	}
	got := testing.AllocsPerRun(500, func() {
		if err := l.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
		for _, e := range logs {
			e.Index += 64
		}
	})
	if got != 0 {
		t.Fatalf("StoreLogs allocates %v times", got)
	}
}

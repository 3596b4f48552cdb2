package bench

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestPicker(t *testing.T) {
	const accounts, draws = 10, 20_000
	for _, test := range []struct {
		hot     int
		percent float64
	}{{0, 0}, {1, 25}, {1, 100}, {4, 80}} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			pick := Config{Accounts: accounts, Hot: test.hot, HotPercent: test.percent}.withDefaults().picker()
			var rng random
			var sources, destinations [accounts]int
			for n := range uint64(draws) {
				source, destination := pick(&rng, n)
				if source == destination {
					t.Fatalf("draw %d: account %d on both sides", n, source)
				}
				sources[source]++
				destinations[destination]++
			}
			rest := (1 - test.percent/100) / accounts
			for i, n := range sources {
				want := rest
				if i < test.hot {
					want += test.percent / 100 / float64(test.hot)
				}
				if got := float64(n) / draws; got < want-0.02 || got > want+0.02 {
					t.Errorf("source %d in %.3f of the payments, want %.3f", i, got, want)
				}
			}
			for i, n := range destinations[1:] {
				if n < draws/accounts*8/10 {
					t.Errorf("destination %d only %d times", i+1, n)
				}
			}
		})
	}
}

// TestZipf compares the drawn frequencies with the distribution. Gray's method
// is exact for the first two ranks.
func TestZipf(t *testing.T) {
	const n, draws = 1000, 400_000
	for _, theta := range []float64{0.5, 0.99} {
		z := newZipf(n, theta)
		rng := newRandom(1, streamAccounts, 0)
		var counts [n]int
		for range draws {
			counts[z.rank(rng.fraction())]++
		}
		share := func(from, to int) (got, want float64) {
			for k := from; k < to; k++ {
				got += float64(counts[k]) / draws
				want += math.Pow(float64(k+1), -theta) / z.zeta
			}
			return got, want
		}
		for _, span := range [][2]int{{0, 1}, {1, 2}, {2, 10}, {10, 100}, {100, n}} {
			if got, want := share(span[0], span[1]); math.Abs(got-want) > 0.1*want+0.002 {
				t.Errorf("theta %v, ranks %v: share %.4f, want %.4f", theta, span, got, want)
			}
		}
		if last := z.rank(math.Nextafter(1, 0)); last >= n {
			t.Errorf("theta %v: rank %d", theta, last)
		}
	}
	for _, n := range []uint64{1, 2, 3} {
		z := newZipf(n, 0.99)
		for _, u := range []float64{0, 0.3, 0.7, 0.999999} {
			if k := z.rank(u); k >= n {
				t.Errorf("%d accounts: rank %d at %v", n, k, u)
			}
		}
	}
}

// starts returns the next n starts of a schedule.
func starts(s schedule, n int) []int64 {
	var list []int64
	for range n {
		at, ok := s.peek()
		if !ok {
			break
		}
		list = append(list, at)
		s.advance()
	}
	return list
}

func TestScheduleConstant(t *testing.T) {
	var all []int64
	for worker := range 3 {
		all = append(all, starts(newSchedule(arrivalsConstant, 1000, worker, 3, 7), 4)...)
	}
	slices.Sort(all)
	for i, at := range all {
		if at != int64(i)*1e6 {
			t.Errorf("start %d at %d ns, want every millisecond", i, at)
		}
	}
}

func TestSchedulePoisson(t *testing.T) {
	const rate, workers, n = 50_000, 2, 100_000
	first := starts(newSchedule(arrivalsPoisson, rate, 0, workers, 1), n)
	if !slices.Equal(first, starts(newSchedule(arrivalsPoisson, rate, 0, workers, 1), n)) {
		t.Error("one seed gave two schedules")
	}
	for _, other := range []schedule{
		newSchedule(arrivalsPoisson, rate, 0, workers, 2), newSchedule(arrivalsPoisson, rate, 1, workers, 1),
	} {
		if slices.Equal(first[:10], starts(other, 10)) {
			t.Error("another seed, or worker, has the same schedule")
		}
	}
	// The gaps of a Poisson process have a standard deviation equal to their mean.
	var sum, squares float64
	for i := 1; i < n; i++ {
		gap := float64(first[i] - first[i-1])
		sum += gap
		squares += gap * gap
	}
	mean := sum / (n - 1)
	deviation := math.Sqrt(squares/(n-1) - mean*mean)
	want := 1e9 / rate * workers
	if math.Abs(mean/want-1) > 0.02 || math.Abs(deviation/want-1) > 0.02 {
		t.Errorf("gaps: mean %.0f, deviation %.0f, want both %.0f", mean, deviation, want)
	}
}

func TestScheduleEnds(t *testing.T) {
	s := newSchedule(arrivalsConstant, 1000, 0, 1, 0)
	s.ends = 3e6
	if got := starts(s, 100); len(got) != 3 {
		t.Errorf("starts %v, want those before 3 ms", got)
	}
	s.ends, s.left = 0, 5
	if got := starts(s, 100); len(got) != 5 {
		t.Errorf("starts %v, want 5", got)
	}
}

func TestMixDraw(t *testing.T) {
	m, err := parseMix("pay=80, capture=0,read=20")
	if err != nil {
		t.Fatal(err)
	}
	var rng random
	var counts [kinds]int
	for range 10_000 {
		counts[m.draw(&rng)]++
	}
	if n := counts[read]; n < 1800 || n > 2200 || counts[pay]+n != 10_000 {
		t.Errorf("drawn: %v", counts)
	}
}

func TestMoments(t *testing.T) {
	var m, other moments
	for _, ms := range []int64{1, 2, 3, 700, 701, 1999} {
		m.add(ms * 1e6)
	}
	other.add(300e6)
	other.add(2500e6)
	m.merge(&other)
	for _, test := range []struct {
		from, to int64 // ms
		want     Outage
	}{
		{0, 3000, Outage{MS: 1297, From: 0.702}},
		{0, 702, Outage{MS: 399, From: 0.301}},
		{2000, 10_000, Outage{MS: 7499, From: 2.501}},
		{700, 702, Outage{}},
		{5, 5, Outage{}},
		{9000, 9001, Outage{MS: 1, From: 9}},
	} {
		if got := m.outage(test.from*1e6, test.to*1e6); got != test.want {
			t.Errorf("%d to %d ms: %+v, want %+v", test.from, test.to, got, test.want)
		}
	}
}

func TestSeqSet(t *testing.T) {
	var a, b seqSet
	for _, seq := range []uint64{5, 70_000, 6, 1 << 40} {
		if !a.add(seq) || a.add(seq) {
			t.Errorf("add %d", seq)
		}
	}
	b.add(6)
	b.add(7)
	if n, first := b.without(&a, 9); n != 1 || !slices.Equal(first, []uint64{7}) {
		t.Errorf("only in b: %d %v", n, first)
	}
	if n, first := a.without(&b, 1); n != 3 || len(first) != 1 {
		t.Errorf("only in a: %d %v", n, first)
	}
	if both := a.merge(&b); !slices.Equal(both, []uint64{6}) || a.count() != 5 {
		t.Errorf("merged: %v in both, %d in all", both, a.count())
	}
}

func TestQueueAndRing(t *testing.T) {
	var q queue[int]
	pushed, popped := 0, 0
	for range 1000 { // grows, shrinks, grows
		for range pushed%7 + 1 {
			q.push(pushed)
			pushed++
		}
		for range popped%5 + 2 {
			if q.empty() {
				break
			}
			if v := q.pop(); v != popped {
				t.Fatalf("popped %d, want %d", v, popped)
			}
			popped++
		}
	}
	if cap(q.values) > 2*pushed {
		t.Errorf("%d places for %d values", cap(q.values), pushed-popped)
	}
	r := newRing[int](3)
	for v := range 5 {
		r.put(v)
	}
	if v, ok := r.take(); !ok || v != 2 || r.size != 2 || r.at(1) != 4 {
		t.Errorf("took %d, then %+v", v, r)
	}
	r.take()
	r.take()
	if _, ok := r.take(); ok {
		t.Error("took from an empty ring")
	}
}

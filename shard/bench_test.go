package shard

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"

	"purser/internal/ledger"
)

// A mix is a kind of load: who pays whom.
type mix struct {
	name     string
	accounts int
	next     func(b *bench) (source, destination []byte)
}

type bench struct {
	r     *rand.Rand
	ids   [][]byte
	homes [][][]byte // by shard
}

func (b *bench) any() []byte { return b.ids[b.r.IntN(len(b.ids))] }

// across picks the two accounts of a payment that crosses with the given chance.
func (b *bench) across(percent int) (source, destination []byte) {
	n := len(b.homes)
	from := b.r.IntN(n)
	to := from
	if b.r.IntN(100) < percent {
		to = (from + 1 + b.r.IntN(max(n-1, 1))) % n
	}
	return b.homes[from][b.r.IntN(len(b.homes[from]))], b.homes[to][b.r.IntN(len(b.homes[to]))]
}

var world = []byte("world:USD")

func mixes() []mix {
	all := []mix{
		{"hot-to-world", 1000, func(b *bench) ([]byte, []byte) { return b.ids[0], world }},
		{"hot-to-merchant", 1000, func(b *bench) ([]byte, []byte) { return b.ids[0], b.ids[1] }},
		{"uniform-1M", 1_000_000, func(b *bench) ([]byte, []byte) { return b.any(), b.any() }},
	}
	for _, percent := range []int{0, 3, 10, 100} {
		all = append(all, mix{fmt.Sprintf("cross-%d%%", percent), 1_000_000, func(b *bench) ([]byte, []byte) { return b.across(percent) }})
	}
	return all
}

// filled is a group with accounts, kept between the parts of a benchmark:
// filling it takes longer than measuring.
type filled struct {
	group *Group
	state *bench
}

func fill(b *testing.B, kept map[string]filled, shards int, m mix) filled {
	key := fmt.Sprint(shards, "/", m.accounts)
	if f, ok := kept[key]; ok {
		return f
	}
	g := newGroup(b, mode{shards: shards, policy: measured})
	state := &bench{r: rand.New(rand.NewPCG(1, 2)), ids: open(g, "acct-", m.accounts), homes: make([][][]byte, shards)}
	for _, id := range state.ids {
		home := g.owner(id).home
		state.homes[home] = append(state.homes[home], id)
	}
	kept[key] = filled{g, state}
	return kept[key]
}

// BenchmarkExecute measures whole entries, both ways of executing them: by the
// clock, and by the processor time of all goroutines, which is what counts where
// the processors have other work. The constants of measured come from here.
func BenchmarkExecute(b *testing.B) {
	for _, shards := range []int{1, 2, 4} {
		kept := map[string]filled{}
		for _, m := range mixes() {
			for _, size := range []int{1, 16, 64, 256, 1000} {
				name := fmt.Sprintf("shards=%d/mix=%s/size=%d/", shards, m.name, size)
				if shards > 1 {
					b.Run(name+"fan-out", func(b *testing.B) { benchEntries(b, fill(b, kept, shards, m), fanOutAlways, m, size) })
				}
				b.Run(name+"solo", func(b *testing.B) { benchEntries(b, fill(b, kept, shards, m), soloAlways, m, size) })
			}
		}
		for _, f := range kept {
			f.group.Close()
		}
	}
}

func benchEntries(b *testing.B, f filled, p policy, m mix, size int) {
	g := f.group
	g.policy = p
	const entries = 8 // few: a server decodes into slots that are still in the cache
	all := make([][]*Slot, entries)
	seq := uint64(10_000_000)
	for i := range all {
		for range size {
			source, destination := m.next(f.state)
			all[i] = append(all[i], slotsOf(seq, ledger.Command{
				Kind: ledger.Pay, Source: source, Destination: destination, Currency: usd, Amount: 1,
			})...)
			seq++
		}
	}
	b.ResetTimer()
	cpu := cpuTime(b)
	for n := range b.N {
		slots := all[n%entries]
		for _, s := range slots {
			s.Record.Code = 0
		}
		g.Execute(slots)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/payment")
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N*size), "cpu-ns/payment")
	b.ReportMetric(0, "ns/op")
}

// cpuTime is what the process has used, in ns. On a shared machine it says more
// than the clock.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkRead(b *testing.B) {
	g := newGroup(b, mode{shards: 2, policy: measured})
	defer g.Close()
	ids := open(g, "a", 1000)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		g.Read(ids[i%1000])
	}
}

// BenchmarkIndexGrow is the longest stall of inserting: the index of half a
// million accounts doubles.
func BenchmarkIndexGrow(b *testing.B) {
	var cpu int64
	for range b.N {
		b.StopTimer()
		x := newIndex()
		for len(x.buckets) < 1<<19 {
			x.grow()
		}
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 390_000 {
			x.add(r.Uint32(), place(i))
		}
		runtime.GC() // or it runs now and then in the middle
		b.StartTimer()
		before := cpuTime(b)
		x.grow()
		cpu += cpuTime(b) - before
	}
	b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
}

// BenchmarkFreeze is what a checkpoint costs the one who executes.
func BenchmarkFreeze(b *testing.B) {
	g := newGroup(b, mode{shards: 2, policy: measured})
	defer g.Close()
	open(g, "acct-", 1_000_000)
	b.ResetTimer()
	for range b.N {
		g.Freeze(View).Done(true)
	}
}

// BenchmarkCheckpoint encodes every page of a million accounts.
func BenchmarkCheckpoint(b *testing.B) {
	g := newGroup(b, mode{shards: 2, policy: measured})
	defer g.Close()
	open(g, "acct-", 1_000_000)
	b.ResetTimer()
	for range b.N {
		f := g.Freeze(View)
		n := 0
		for _, data := range f.Pages() {
			n += len(data)
		}
		f.Done(true)
		b.SetBytes(int64(n))
	}
}

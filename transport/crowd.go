package transport

import (
	"slices"
	"sync"
)

// crowdShare is how many requests of a crowd one goroutine answers. A share is worth
// some hundred microseconds, many times what a goroutine costs, and bounds how long
// the last one waits where there are CPUs to spare.
const crowdShare = 128

// readShare is crowdShare for reads, each of which may wait for its account's shard.
const readShare = 16

// crowds are the requests in lanes that wait, by what they wait for: one goroutine for
// all of a log entry instead of one for each. Any goroutine may call join.
type crowds struct {
	resume func([]*call)

	mu      sync.Mutex
	waiting map[<-chan struct{}]*crowd
	room    int // calls of the last crowd
}

type crowd struct {
	writes []*call
	reads  []*call // what follows may block
}

// join has c resumed once what it waits for is done.
func (cs *crowds) join(c *call) {
	done := c.pending.Work.Done()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	m := cs.waiting[done]
	if m == nil {
		if cs.waiting == nil {
			cs.waiting = make(map[<-chan struct{}]*crowd)
		}
		m = &crowd{writes: make([]*call, 0, cs.room)}
		cs.waiting[done] = m
		go cs.await(m, done)
	}
	if c.endpoint.write {
		m.writes = append(m.writes, c)
	} else {
		m.reads = append(m.reads, c)
	}
}

// await resumes the calls of m when done is closed.
func (cs *crowds) await(m *crowd, done <-chan struct{}) {
	<-done
	cs.mu.Lock()
	delete(cs.waiting, done)
	cs.room = len(m.writes) + len(m.writes)/4
	cs.mu.Unlock()
	for share := range slices.Chunk(m.reads, readShare) {
		go cs.resume(share)
	}
	rest := m.writes
	for len(rest) > crowdShare {
		go cs.resume(rest[:crowdShare])
		rest = rest[crowdShare:]
	}
	cs.resume(rest)
}

// resumeAll answers calls in one lane.
func (s *Server) resumeAll(calls []*call) {
	l := s.lanes.Get().(*lane)
	for _, c := range calls {
		l.resume(s, c)
	}
	s.lanes.Put(l)
}

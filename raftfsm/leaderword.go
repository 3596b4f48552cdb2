package raftfsm

import (
	"errors"
	"fmt"
	"sync"
)

// leaderWord is how far the leader is by its own word. raft alone does not tell a
// follower: it holds the commit index down to the end of the node's own log, so that
// entries which have not come yet do not count.
type leaderWord struct {
	mu        sync.Mutex
	from      string // id of the leader that was asked last, "" for none
	committed uint64 // 0: it has not said yet
	failures  int    // to answer, in a row
}

// mayFail is how many rounds in a row a follower that is ready may get no answer: one
// that cannot reach the leader cannot forward to it either.
const mayFail = 3

// note takes what came of asking a leader.
func (w *leaderWord) note(from string, committed uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if from != w.from {
		w.from, w.committed, w.failures = from, 0, 0
	}
	if err != nil {
		w.failures++
		return
	}
	w.committed, w.failures = committed, 0
}

// of returns the commit index of the present leader, and why it is not known.
func (w *leaderWord) of(leader string) (committed uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.from != leader:
		return 0, errors.New("the leader has not been asked yet")
	case w.failures > mayFail:
		return w.committed, fmt.Errorf("the leader did not answer, %d times in a row", w.failures)
	case w.committed == 0:
		return 0, errors.New("the leader has not said yet how far it is")
	}
	return w.committed, nil
}

package raftfsm

import (
	"encoding/json"
	"fmt"
	"slices"

	"purser/internal/ledger"
)

// MemberRecord is what the replicated state says of one node, present or past.
// raft's configuration says who votes; this says who that is.
type MemberRecord struct {
	ID string `json:"id"`
	// Incarnation is the data directory of the node. An id belongs to the first one
	// that joined under it: another one has forgotten what this one voted.
	Incarnation string `json:"incarnation"`
	RaftAddr    string `json:"raft_addr"`
	APIAddr     string `json:"api_addr"` // "" until the node has told it
	// Learner keeps the node from being made a voter.
	Learner bool `json:"learner,omitempty"`
	// Formats is the newest format that the node reads and writes; see formats.go.
	Formats int `json:"formats"`
	// Removed ids are kept: none comes back.
	Removed bool `json:"removed,omitempty"`
}

// membership is the part of the replicated state that is about the cluster.
type membership struct {
	// Cluster names the cluster: it is new for one that was restored from a backup.
	Cluster string         `json:"cluster"`
	Members []MemberRecord `json:"members"` // by id
	// Format is in use: what is written has it. It never falls. 0 is the oldest.
	Format int `json:"format,omitempty"`
}

func (m *membership) find(id string) (MemberRecord, bool) {
	i, ok := slices.BinarySearchFunc(m.Members, id, compareMember)
	if !ok {
		return MemberRecord{}, false
	}
	return m.Members[i], true
}

func compareMember(m MemberRecord, id string) int {
	switch {
	case m.ID < id:
		return -1
	case m.ID > id:
		return 1
	}
	return 0
}

// A log entry about the cluster. It moves no money, has no time, and leaves the
// ledger's position and digest as they are.
//
//	 0     1        2..3   4..
//	+-----+--------+------+------+
//	| 'C' | format | zero | JSON |
//	+-----+--------+------+------+
const (
	memberEntryKind   = 'C'
	memberEntryHeader = 4
)

// memberChange is the JSON of such an entry.
type memberChange struct {
	// Found, when set, makes the state that of a new cluster, without members.
	Found string `json:"found,omitempty"`
	// Members are put into the place of those with the same ids.
	Members []MemberRecord `json:"members"`
	// Format, when set, is in use from the next entry on.
	Format int `json:"format,omitempty"`
}

func encodeMemberChange(c memberChange, format int) ([]byte, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode membership: %w", err)
	}
	return append([]byte{memberEntryKind, byte(format), 0, 0}, body...), nil
}

// isMemberChange tells the entries about the cluster from those of the ledger,
// which begin with a small number.
func isMemberChange(entry []byte) bool { return len(entry) > 0 && entry[0] == memberEntryKind }

// decodeMemberChange is the inverse of encodeMemberChange. newest is the newest format
// that this node reads: it is not in a cluster that uses a newer one.
func decodeMemberChange(entry []byte, newest int) (c memberChange, err error) {
	if len(entry) < memberEntryHeader {
		return c, fmt.Errorf("%w: membership entry of %d bytes", ledger.ErrDecode, len(entry))
	}
	if err := ledger.CheckFormat("the entry", int(entry[1]), newest); err != nil {
		return c, err
	}
	if entry[1] < ledger.OldestFormat || entry[2]|entry[3] != 0 {
		return c, fmt.Errorf("%w: membership entry that begins with %x", ledger.ErrDecode, entry[:memberEntryHeader])
	}
	if err := json.Unmarshal(entry[memberEntryHeader:], &c); err != nil {
		return c, fmt.Errorf("%w: membership entry: %w", ledger.ErrDecode, err)
	}
	return c, ledger.CheckFormat("all that follows", c.Format, newest)
}

// changed returns the membership after c. The one before stays as it is: others
// may be reading it.
func (m *membership) changed(c memberChange) *membership {
	after := &membership{Cluster: m.Cluster, Members: slices.Clone(m.Members), Format: max(m.Format, c.Format)}
	if c.Found != "" {
		after.Cluster, after.Members = c.Found, nil
	}
	for _, r := range c.Members {
		i, ok := slices.BinarySearchFunc(after.Members, r.ID, compareMember)
		if ok {
			after.Members[i] = r
		} else {
			after.Members = slices.Insert(after.Members, i, r)
		}
	}
	return after
}

// applyMembers executes an entry about the cluster.
func (m *machine) applyMembers(index uint64, data []byte) error {
	m.applying.Lock()
	defer m.applying.Unlock()
	c, err := decodeMemberChange(data, m.newest)
	if err != nil {
		return fmt.Errorf("apply log entry %d: %w", index, err)
	}
	m.members.Store(m.members.Load().changed(c))
	return nil
}

// Members returns what the replicated state says of the cluster's nodes, by id,
// and those that were removed among them.
func (f *FSM) Members() []MemberRecord {
	return slices.Clone(f.membership().Members)
}

// membership is that of the newest entry applied. It must not be changed.
func (f *FSM) membership() (in *membership) {
	in = &membership{}
	_ = f.use(func(m *machine) error { // without a state there is nothing to tell
		in = m.members.Load()
		return nil
	})
	return in
}

// recentEntries is how many entries back a node can tell its digest: a second or
// more at full speed, and a comparison takes a round trip.
const recentEntries = 8192

// recentDigests is a ring of the digests after the last entries. Guarded by
// machine.mu.
type recentDigests struct {
	at   [recentEntries]struct{ index, digest uint64 }
	next int
}

func (r *recentDigests) put(index, digest uint64) {
	r.at[r.next].index, r.at[r.next].digest = index, digest
	r.next = (r.next + 1) % recentEntries
}

// find returns the digest after the entry at index, if that is recent.
func (r *recentDigests) find(index uint64) (digest uint64, ok bool) {
	for i := range r.at {
		if e := &r.at[i]; e.index == index && index > 0 {
			return e.digest, true
		}
	}
	return 0, false
}

// digestAt returns the digest after the entry at index, if that is recent.
func (f *FSM) digestAt(index uint64) (digest uint64, ok bool) {
	_ = f.use(func(m *machine) error { // without a state there is nothing to tell
		m.mu.RLock()
		defer m.mu.RUnlock()
		digest, ok = m.recent.find(index)
		return nil
	})
	return digest, ok
}

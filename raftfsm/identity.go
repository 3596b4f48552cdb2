package raftfsm

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Keys of what the stable store says about the cluster.
const (
	keyIncarnation = "purser.incarnation" // names the data directory
	keyCluster     = "purser.cluster"     // names the cluster that the node is in
	keyFounders    = "purser.founders"    // of that cluster, if this node is one of them
	keyHosts       = "purser.hosts"       // of that cluster, when it let this node in
)

// nodeIdentity is who this node is and which cluster it belongs to. Only the goroutine
// that forms the cluster changes it, and only before raft writes to the stable
// store.
type nodeIdentity struct {
	incarnation string
	cluster     atomic.Pointer[string]         // "" until the node is in one
	founders    atomic.Pointer[[]MemberRecord] // by id; nil unless it is one of them
	hosts       []MemberRecord
}

// identify reads who this node is, and names a new data directory.
func (n *Node) identify() error {
	incarnation, ok := n.stable.values[keyIncarnation]
	if !ok {
		incarnation = []byte(rand.Text())
		if err := n.stable.put(map[string][]byte{keyIncarnation: incarnation}); err != nil {
			return err
		}
	}
	n.identity.incarnation = string(incarnation)
	cluster := string(n.stable.values[keyCluster])
	n.identity.cluster.Store(&cluster)
	founders, err := n.readMembers(keyFounders)
	if err != nil {
		return err
	}
	if founders != nil {
		n.identity.founders.Store(&founders)
	}
	n.identity.hosts, err = n.readMembers(keyHosts)
	return err
}

func (n *Node) readMembers(key string) (list []MemberRecord, err error) {
	if raw, ok := n.stable.values[key]; ok {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrStableDamaged, key, err)
		}
	}
	return list, nil
}

// belong makes the node one of a cluster, for good: one of its founders, unless
// there are none, or one that its hosts let in.
func (n *Node) belong(cluster string, founders, hosts []MemberRecord) error {
	values := map[string][]byte{keyCluster: []byte(cluster)}
	for key, list := range map[string][]MemberRecord{keyFounders: founders, keyHosts: hosts} {
		if list == nil {
			continue
		}
		raw, err := json.Marshal(list)
		if err != nil {
			return fmt.Errorf("enter cluster: %w", err)
		}
		values[key] = raw
	}
	if err := n.stable.put(values); err != nil {
		return err
	}
	if founders != nil {
		n.identity.founders.Store(&founders)
	}
	n.identity.cluster.Store(&cluster)
	return nil
}

// clusterOf names the cluster of these founders, which are in the order of their
// ids.
func clusterOf(founders []MemberRecord) string {
	h := sha256.New()
	for _, f := range founders {
		fmt.Fprintf(h, "%q %q\n", f.ID, f.Incarnation)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// self is the record that this node wants to have.
func (n *Node) self() MemberRecord {
	return MemberRecord{
		ID:          n.cfg.NodeID,
		Incarnation: n.identity.incarnation,
		RaftAddr:    n.port.Addr().String(),
		APIAddr:     n.cfg.APIAddr,
		Formats:     n.cfg.newest,
	}
}

// configurationOf is raft's configuration of a cluster of voters.
func configurationOf(members []MemberRecord) (c raft.Configuration) {
	for _, m := range members {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.RaftAddr)})
	}
	return c
}

// book knows which node has which raft address: those of raft's configuration, of
// the cluster that a node without one was let into, and what members have told since.
type book struct {
	entries    atomic.Pointer[[]raft.Server]
	configured []raft.Server // as of the last follow
}

// follow makes the book raft's configuration when that has changed. What was added
// to it meanwhile stays until then. One goroutine calls it.
func (b *book) follow(servers []raft.Server) {
	if !slices.Equal(b.configured, servers) {
		b.configured = servers
		b.set(servers)
	}
}

func (b *book) set(servers []raft.Server) {
	servers = slices.Clone(servers)
	b.entries.Store(&servers)
}

// add introduces a server that raft is about to be told of.
func (b *book) add(server raft.Server) { b.set(append(b.all(), server)) }

func (b *book) all() []raft.Server {
	if p := b.entries.Load(); p != nil {
		return slices.Clone(*p)
	}
	return nil
}

// idAt returns the id of the node at a raft address, "" for none.
func (b *book) idAt(addr string) string {
	for _, s := range b.all() {
		if string(s.Address) == addr {
			return string(s.ID)
		}
	}
	return ""
}

// has reports whether a node is a member.
func (b *book) has(id string) bool {
	return slices.ContainsFunc(b.all(), func(s raft.Server) bool { return string(s.ID) == id })
}

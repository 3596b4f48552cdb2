package transport

import (
	"context"
	"errors"
	"io"
	"time"

	"purser/internal/ledger"
)

// Node tells where the node stands.
type Node interface {
	Status() Status
	// Applied is the index of the last log entry that the node's state reflects.
	Applied() uint64
}

// Health tells how the process is doing.
type Health interface {
	// Checks returns what makes the node ready to serve clients, each condition
	// with its outcome, in an order that does not change.
	Checks() []Check
	// Live returns an error only when a restart of the process would help.
	Live() error
}

// Snapshots makes and hands out snapshots of the node's state.
type Snapshots interface {
	// Take makes one of the state as it is now and returns when it is durable.
	Take(ctx context.Context) (SnapshotInfo, error)
	// List returns those that there are, the newest first.
	List() ([]SnapshotInfo, error)
	// Open returns the content of one, or ErrSnapshotNotFound. The caller closes it.
	Open(id string) (io.ReadCloser, error)
}

// Membership changes who is in the cluster and who leads it. Its errors are told
// to the operator as the reason why it cannot be done; a NotLeaderError says
// where it could.
type Membership interface {
	// TransferLeadership returns once the named node leads; an empty name leaves
	// the choice to the leader.
	TransferLeadership(ctx context.Context, to string) (Transfer, error)
	AddMember(ctx context.Context, m Member) error
	RemoveMember(ctx context.Context, id string) error
}

// Verifier checks the books: that the accounts of every currency add up to what
// the journal's running totals say and, with the outside, to 0. With deep it
// reads the whole journal: each account must be what its rows make it, posted,
// held and version, and each row must be found by what leads to it.
type Verifier interface {
	Verify(ctx context.Context, deep bool) (VerifyReport, error)
}

// ErrSnapshotNotFound is returned for an id that no snapshot has.
var ErrSnapshotNotFound = errors.New("there is no such snapshot")

// NotLeaderError is returned for what only the leader can do.
type NotLeaderError struct {
	Leader string // its admin address, empty when unknown
}

func (e *NotLeaderError) Error() string {
	if e.Leader == "" {
		return "this node does not lead and knows no leader"
	}
	return "this node does not lead; " + e.Leader + " does"
}

// Check is one condition of a node's readiness.
type Check struct {
	Name string // a word, the same in every outcome
	Err  error  // why it does not hold, nil when it does
	// Minor says that the node serves without it, perhaps not everything: it is
	// listed, and does not make the node unready.
	Minor bool
}

// Status is what GET /admin/v1/status answers.
type Status struct {
	Node         string        `json:"node"`
	Role         string        `json:"role"`   // leader, follower or candidate
	Leader       string        `json:"leader"` // id of the node that leads, empty when unknown
	Term         uint64        `json:"term"`
	CommitIndex  uint64        `json:"commit_index"`
	AppliedIndex uint64        `json:"applied_index"`
	Digest       string        `json:"digest"` // of everything up to AppliedIndex, in hex
	Members      []Member      `json:"members"`
	Shards       int           `json:"shards"`
	Snapshot     *SnapshotInfo `json:"snapshot"` // the newest, nil for none
	Version      string        `json:"version"`  // of the program
	Cluster      string        `json:"cluster"`  // its name; empty for a node that is in none
	Format       int           `json:"format"`   // that the cluster uses: of log entries and snapshots
	Formats      int           `json:"formats"`  // the newest that this program reads
	Forming      string        `json:"forming"`  // why the node is in no cluster, empty if it is
	Diverged     string        `json:"diverged"` // why the node serves nothing, empty if it does
}

// Member is one node of the cluster.
type Member struct {
	ID       string `json:"id"`
	RaftAddr string `json:"raft_addr"`
	APIAddr  string `json:"api_addr"`
	Voter    bool   `json:"voter"`
	// Formats is the newest format that the member reads, 0 if it has not said yet.
	Formats int `json:"formats"`
	// Lag is how many log entries the member is behind the leader. Only the leader
	// knows: it is nil on others.
	Lag *uint64 `json:"lag"`
	// Reachable is false for a member that did not answer the leader's last
	// question, and nil on others than the leader.
	Reachable *bool `json:"reachable"`
}

// SnapshotInfo describes one snapshot.
type SnapshotInfo struct {
	ID        string `json:"id"`
	Index     uint64 `json:"index"` // of the last log entry that it covers
	Term      uint64 `json:"term"`
	Bytes     int64  `json:"bytes"`
	CreatedAt Time   `json:"created_at"`
	TookMS    int64  `json:"took_ms"` // milliseconds it took to make
}

// Transfer is a change of leadership that has happened.
type Transfer struct {
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
	TookMS int64  `json:"took_ms"`
}

// VerifyReport is what verifying the books found.
type VerifyReport struct {
	OK         bool                     `json:"ok"`
	Currencies map[string]CurrencyTotal `json:"currencies"`
	Index      uint64                   `json:"index"` // of the log, that the books were read at
	Deep       bool                     `json:"deep"`
	Rows       uint64                   `json:"rows"`                  // of the journal; with Deep, those that were read
	Faults     []string                 `json:"faults,omitempty"`      // what is wrong, when not OK; perhaps not all of it
	FaultCount int                      `json:"fault_count,omitempty"` // all of it
}

// CurrencyTotal sums up one currency: accounts, and all they have posted in minor
// units, the outside included.
type CurrencyTotal struct {
	Accounts uint64 `json:"accounts"`
	Sum      string `json:"sum"`
}

// Time is a time as the API spells it: RFC 3339 in UTC with microseconds.
type Time struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return appendTime(nil, ledger.Micros(t.UnixMicro())), nil
}

// Package planted holds deliberate faults, with which the tests are tested: each is
// a mistake that somebody could make, at the place where it would be made, and a
// test has to find it. make planted shows which one does.
//
// Only a build with the tag "planted" has them, and one at a time: that which the
// environment variable PURSER_PLANTED_FAULT names. In any other build Is is a
// constant, and nothing of a fault is left.
package planted

// Fault is the name of a fault.
type Fault string

// What each does wrong, from the disk up.
const (
	// AckBeforeFsync calls entries of the log stored that the disk may not have.
	AckBeforeFsync Fault = "ack-before-fsync"
	// LogTruncated ends the log at the first frame with a bad checksum.
	LogTruncated Fault = "log-truncated-on-corruption"
	// FailedAppendSurvived goes on after an append that failed.
	FailedAppendSurvived Fault = "failed-append-survived"
	// HungAppendTolerated waits for ever for an append that does not return.
	HungAppendTolerated Fault = "hung-append-tolerated"
	// VoteInTwoWrites stores the term of a vote before its candidate.
	VoteInTwoWrites Fault = "vote-in-two-writes"

	// SnapshotWithoutFlush writes checkpoints and copies of what is in memory only.
	SnapshotWithoutFlush Fault = "snapshot-without-flush"
	// JournalRowOverwritten puts a payment's later event in the place of its row.
	JournalRowOverwritten Fault = "journal-row-overwritten"
	// DigestSkipped leaves the rows out of the digest.
	DigestSkipped Fault = "digest-skipped"
	// DedupDropped forgets the keys of the journal when a state is opened.
	DedupDropped Fault = "dedup-dropped-after-restore"
	// DamagedSnapshotSkipped takes an older snapshot for the newest.
	DamagedSnapshotSkipped Fault = "damaged-snapshot-skipped"
	// SnapshotTrusted takes the state for that of raft's newest snapshot.
	SnapshotTrusted Fault = "snapshot-trusted"
	// TermUnchecked keeps a log that has another entry where a snapshot ends.
	TermUnchecked Fault = "term-unchecked-at-snapshot"
	// RestoreFailureIgnored lives on after a snapshot that could not be installed.
	RestoreFailureIgnored Fault = "restore-failure-ignored"

	// CreditBeforeDebit stores a destination before the source has decided.
	CreditBeforeDebit Fault = "credit-before-debit"
	// FrozenPageWritten writes to pages that a checkpoint is reading.
	FrozenPageWritten Fault = "frozen-page-written"
	// ShardForgotten leaves all shards but the first out of a verification.
	ShardForgotten Fault = "shard-forgotten-in-verify"
	// JournalUnchecked verifies the accounts, but not against the journal.
	JournalUnchecked Fault = "journal-unchecked-in-verify"

	// EntryAppliedTwice applies entries that the state has already.
	EntryAppliedTwice Fault = "entry-applied-twice"
	// FutureTrusted lets a replay see what became of a payment later.
	FutureTrusted Fault = "future-trusted-in-replay"
	// DuplicateInEntry looks for the first use of a key in earlier entries only.
	DuplicateInEntry Fault = "duplicate-in-entry"
	// ExpiryByLocalClock lets holds lapse by this node's clock.
	ExpiryByLocalClock Fault = "expiry-by-local-clock"
	// StampGoesBack takes the stamp of a leader whose clock is behind as it is.
	StampGoesBack Fault = "stamp-goes-back"

	// HeartbeatFastPath gives raft its way around the main loop.
	HeartbeatFastPath Fault = "heartbeat-fast-path"
	// ServedBeforeBarrier lets a new leader serve before it has caught up.
	ServedBeforeBarrier Fault = "served-before-barrier"
	// LostLeadershipRefused says "not applied" of an entry that may live on.
	LostLeadershipRefused Fault = "lost-leadership-refused"
	// DivergenceIgnored serves on with another digest than the leader's.
	DivergenceIgnored Fault = "divergence-ignored"
	// WipedNodeAdmitted lets a node vote that has forgotten its votes.
	WipedNodeAdmitted Fault = "wiped-node-admitted"
	// NodeNotPinned takes the certificate of any node for that of the one dialled.
	NodeNotPinned Fault = "node-not-pinned"

	// ReadWithoutBarrier answers linearizable reads with what is there.
	ReadWithoutBarrier Fault = "read-without-barrier"
	// RetryWithNewKey repeats a request to a new leader under a key of its own.
	RetryWithNewKey Fault = "retry-with-new-key"
	// SentTakenForUnsent says "not applied" of a request that the leader may have got.
	SentTakenForUnsent Fault = "sent-taken-for-unsent"
)

// All returns every fault.
func All() []Fault {
	return []Fault{
		AckBeforeFsync, LogTruncated, FailedAppendSurvived, HungAppendTolerated, VoteInTwoWrites,
		SnapshotWithoutFlush, JournalRowOverwritten, DigestSkipped, DedupDropped,
		DamagedSnapshotSkipped, SnapshotTrusted, TermUnchecked, RestoreFailureIgnored,
		CreditBeforeDebit, FrozenPageWritten, ShardForgotten, JournalUnchecked,
		EntryAppliedTwice, FutureTrusted, DuplicateInEntry, ExpiryByLocalClock, StampGoesBack,
		HeartbeatFastPath, ServedBeforeBarrier, LostLeadershipRefused, DivergenceIgnored,
		WipedNodeAdmitted, NodeNotPinned,
		ReadWithoutBarrier, RetryWithNewKey, SentTakenForUnsent,
	}
}

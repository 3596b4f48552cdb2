// Package raftfsm puts purser's state machine behind Raft. It assembles
// hashicorp/raft over the wal, a stable store, a transport and a snapshot store,
// and hardens each of the four at the interface where raft calls it.
//
// What it owns: the raft instance, the port and the transport, the stable store with
// the term and the vote, who is in the cluster, the snapshots directory and the application of
// committed entries. It does not own accounts (package shard), Pebble (package
// store) or the log's files (package wal).
//
// On which goroutines: entries are applied by raft's FSM goroutine alone;
// snapshots are taken on raft's snapshot goroutine and installed from its main
// one, so the snapshot store locks; the log and the vote are written by raft's
// main goroutine, while log compaction runs on the snapshot goroutine. Of its
// own the package starts one watchdog per guarded log, stopped by its Close, one
// unpacker per snapshot being received, which ends with the sink, and for each
// Node those that follow the leadership, take the snapshots that are due and look
// after its part in the cluster, until its Close.
//
// What it never does: answer a client before commit and apply, retry a failed
// write or fsync, read with VerifyLeader, carry on with half a state, or fall
// back to an older snapshot when the newest is damaged.
package raftfsm

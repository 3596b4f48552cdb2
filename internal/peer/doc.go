// Package peer is the one port between the nodes of a cluster. It carries raft's
// connections and the cluster's own small control calls, over mutual TLS or,
// within one machine, plain.
//
// What comes first on a connection, inside TLS, says what it is:
//
//	+-----------------+------------------------------------------+
//	| "purser/r"      | raft's own protocol, as long as it lasts |
//	+-----------------+------------------------------------------+
//	| "purser/c"      | one control call: a frame each way       |
//	+-----------------+------------------------------------------+
//
// Anything else is closed and counted. A change that old nodes could not read
// gets another name here, or another version of the frame.
//
// What it owns: the listener and every connection accepted, until raft has taken
// one and closes it. On which goroutines: one accepts; one per arriving
// connection does the handshake, then serves the control call or waits until
// raft takes the connection. Close ends and awaits them all. Dialling happens on
// the caller's goroutine, and what raft dials is raft's.
//
// What it never does: answer for raft before OpenRaft, retry a call, decide who
// is a member, or read what raft says.
package peer

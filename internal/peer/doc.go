// Package peer is the one port between the nodes of a cluster. It carries raft's
// connections, the cluster's own small control calls and the requests that one
// node's API forwards to another's, over mutual TLS or, within one machine, plain.
//
// What comes first on a connection, inside TLS, says what it is:
//
//	+-----------------+------------------------------------------+
//	| "purser/r"      | raft's own protocol, as long as it lasts |
//	+-----------------+------------------------------------------+
//	| "purser/c"      | one control call: a frame each way       |
//	+-----------------+------------------------------------------+
//	| "purser/f"      | requests that the other node forwards:   |
//	|                 | HTTP, once "purser/f" came back          |
//	+-----------------+------------------------------------------+
//
// Anything else is closed and counted. A change that old nodes could not read
// gets another name here, or another version of the frame.
//
// What it owns: the listener and every connection accepted, until raft or the
// API has taken one and closes it. On which goroutines: one accepts; one per arriving
// connection does the handshake, then serves the control call or waits until
// the connection is taken. Close ends and awaits them all. Dialling happens on the
// caller's goroutine, and what is dialled is the caller's.
//
// What it never does: answer for raft before OpenRaft, retry a call, decide who
// is a member, or read what raft or the API says.
package peer

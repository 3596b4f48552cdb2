// Package transport is the HTTP surface: the public API on fasthttp and the
// admin listener on net/http.
//
// It owns the mapping between HTTP and the ledger's commands, records and views:
// routes, strict JSON in, JSON out, error codes. A handler decodes one request into
// a ledger.Command, hands it to the Executor, and renders the record that comes back
// once the command is applied. What a client reads depends on that record alone,
// which is what makes a replay byte for byte the first response.
//
// A handler runs in a lane, on the goroutine of an event loop and then on that of its
// log entry's crowd, or on a goroutine of its connection, where it may block.
//
// On a node of a cluster that does not lead, a request that only the leader can
// serve is sent on to it as it came, and answered with what the leader says.
//
// The package keeps no account, payment or key of its own, never decides whether
// money may move, and knows neither Raft nor Pebble. Nothing of a request
// outlives its handler.
package transport

// Package clients drives a cluster as its clients would, remembers everything
// that they were told, and then holds the cluster to it.
//
// A Load is a number of clients, each on a goroutine of its own, that pay,
// authorize, capture, refund, retry and read through all nodes while somebody
// else breaks the nodes. It speaks the HTTP API only and shares no code with the
// product: the rules of the ledger are written down once more here, as small as
// possible, and what the nodes say is compared with them.
//
// The history of a run has every request with the times of its first call and of
// its answer on one monotonic clock. After a run has been stopped, Check reads
// the journals of all nodes and looks for contradictions between them and the
// history. The checks of a history and of the books that were read are pure
// functions; they name each kind of contradiction.
package clients

// Package engine turns many concurrent requests into few log entries. It owns
// the open batch, sealing it and keeping a bounded number of batches in flight, and
// the deadlines. Reads ride the same batches as barriers.
//
// Handlers call it from any goroutine. They block until their entry is committed and
// applied, or Submit and are told later. Whoever learns that a batch is due proposes
// it, one at a time. Two goroutines belong to an Engine, the proposer and the
// completer; Close stops and awaits them. The engine never decides a command and
// never looks at money: it moves bytes and wakes waiters.
package engine

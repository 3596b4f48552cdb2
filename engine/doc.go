// Package engine turns many concurrent requests into few log entries. It owns
// the open batch, the proposer that seals batches and keeps a bounded number of
// them in flight, and the deadlines. Reads ride the same batches as barriers.
//
// Handlers call it from any goroutine and block until their entry is committed
// and applied. Two goroutines belong to an Engine, the proposer and the
// completer; Close stops and awaits them. The engine never decides a command and
// never looks at money: it moves bytes and wakes waiters.
package engine

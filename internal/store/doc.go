// Package store keeps what does not fit in memory, in Pebble: the journal of
// executed commands and the indexes that lead into it, the checkpoint of the
// accounts, and the idempotency keys.
//
// One goroutine writes entries (Begin, Add, Commit), one at a time writes
// checkpoints, and any number read; Pebble orders them. Nothing here decides a
// command or answers a client, or reads the clock, but for the tables that Pebble
// writes in the background: see pacer.
//
// # Durability
//
// The Raft log is the write-ahead log of this store. Commit makes rows visible,
// not durable: a crash takes the store back to a prefix of its commits, and
// replaying the log from the checkpoint writes the lost rows again, byte for
// byte. Pebble therefore runs without a log of its own (DisableWAL), for these
// reasons:
//
//   - What survives is a prefix. Memtables are flushed oldest first, each flush
//     enters the manifest in one synced edit, and the manifest is the only root.
//     A log without sync promises nothing more, and writes every byte once more:
//     737 ns of CPU per payment against 710, and 40 more bytes on disk meanwhile.
//   - Nothing needs the rows behind the last flush: a checkpoint flushes before
//     it writes, and the Raft log is kept from the checkpoint on.
//   - Pebble's source calls the setting untested. Two of its paths differ: a
//     synced write is refused, so nothing here asks for one, and a table that
//     overlaps a memtable would be queued in memory instead of made durable, so
//     queueing is switched off (see pebbleOptions). The crash tests of this
//     package reopen a clone of the disk at every sync and at random writes.
//
// # Rows from the future
//
// After a restart, rows above the replay position may already be there. They
// are what replay will write again, so they are harmless once reached, and
// invisible before: reads that can meet them take a bound, before or head. Whoever
// goes on with another log than the one that wrote them has to Rewind first.
//
// # Key space
//
// Numbers are big endian, so that keys sort as numbers do.
//
//	c                          checkpoint: meta
//	c shard(4) page(4)         checkpoint: one page of accounts
//	e payment(8) seq(8)        the accepted event seq of a payment; no value
//	h history(8|13) ordinal(8) seq of the posting with that ordinal, every 256th
//	i id                       number of the account
//	j first(8)                 journal block: the rows first, first+1, ...
//	k ...                      idempotency runs
//	x expiry(8) seq(8)         the hold of authorization seq lapses at expiry; no value
//
// A history is an account's number, or 0xff and the currency of a world
// account; no number reaches 0xff<<56.
package store

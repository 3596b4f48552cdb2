// Package shard owns account state. Each Shard is one goroutine and the only
// writer of its accounts; nothing here locks, sleeps or reads the clock.
//
// A Group is driven by one goroutine, the caller of Execute, Freeze and Load. It
// hands each entry's commands to the shards and returns when all are executed,
// with the results of one thread executing them one after another. Reads come
// from any goroutine and are messages to the owning shard, answered between
// entries.
//
// Accounts live in pages of 64 that are copied before the first write after a
// freeze, so a checkpoint reads a fixed state while execution goes on.
package shard

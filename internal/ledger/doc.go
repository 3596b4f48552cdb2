// Package ledger is the domain: accounts, payments, holds, postings, commands,
// their results, and the rules that decide a command.
//
// It is pure. Nothing here reads a clock, a file, a random source or a map in
// iteration order, and nothing starts a goroutine, so the same command against
// the same accounts gives the same result on every replica, today and in a
// replay ten years from now. Callers own every value that they pass in; a
// Command or Record decoded from bytes aliases those bytes and lives as long as
// they do.
package ledger

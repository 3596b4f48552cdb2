// Package ledgertest supports tests of everything that executes commands. Model
// is an independent, naive ledger to compare outcomes with; Book runs the real
// rules over plain maps, on one goroutine; Steps generates logs of commands.
//
// It is pure, like the package that it tests, and never part of a program.
package ledgertest

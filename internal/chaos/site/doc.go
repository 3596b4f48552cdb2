// Package site is a machine room for tests: three purser processes, each on a
// machine of its own as far as this one can pretend to have several, and
// everything that may happen to them.
//
// With root and iproute2 each machine is a network namespace on a bridge, so that
// packets can be lost between two of them, in one direction or both. With loop
// devices each has a file system of its own, which can be slow or hang. Where
// these cannot be had, the machines share loopback and the disk, and Missing says
// what is not possible.
//
// What a site puts into the machine carries its name, purser-chaos, and is taken
// away by Close; by a shell that outlives the process if that dies without; and by
// the next site at the latest.
package site

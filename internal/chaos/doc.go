// Package chaos is the fault suite: three purser processes, 64 clients, and a
// schedule of faults that follows from a seed. Its tests run them and hold the
// cluster to what it told its clients.
//
// Package site has the machines and what can be done to them, package clients the
// clients and the checks; here is what is done when.
package chaos

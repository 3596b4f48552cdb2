// Package bench puts load on payment servers over HTTP, measures them, and
// checks their books; on the same machine with the same generator it measures
// what an empty HTTP handler and a bare fdatasync can do, so that every figure
// can be read as a fraction of the possible.
//
// A load is an open loop, whose requests start by a schedule, or a closed one,
// in which every connection sends the next request when the answer to the last
// has arrived. A job is the load, a worker decides what some of its connections
// send and counts what comes of it, and a driver does the I/O and reads the
// clock for a worker. A worker and all that is its own belong to one goroutine
// at a time; counts are merged after the last worker has returned. Answering a
// payment allocates nothing.
//
// A request whose connection breaks before the answer, or that is answered
// with 504, has an unknown outcome: it is sent again under the same idempotency
// key until it is answered or Config.Patience has passed. The package knows
// servers only by their HTTP APIs and imports no other package of the module.
package bench

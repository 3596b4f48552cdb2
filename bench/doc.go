// Package bench measures a payment server over HTTP and, on the same machine
// with the same generator, what an empty HTTP handler and a bare fdatasync can
// do, so that every figure can be read as a fraction of the possible.
//
// The load is a closed loop: every connection has one request in flight and
// sends the next when the answer to the last has arrived. A few worker
// goroutines own all connections; each worker alone touches its connections,
// its histogram and its counters, and these are merged after the last worker
// has returned. Answering a request allocates nothing.
//
// A request whose connection breaks before the answer, or that is answered
// with 504, has an unknown outcome: it is sent again under the same idempotency
// key until it is answered or Config.Patience has passed. The package knows
// the server only by its HTTP API and imports no other package of the module.
package bench

// Package eventloop serves connections that are idle most of the time without a
// goroutine and without buffers for each. A Loop's goroutine watches the sockets; what
// a client has sent is read into memory that all connections share, and handed to
// the connection's Input.
//
// Input must not block, since it keeps all connections of its loop waiting. Where the
// work takes long it says Busy, and Rest says that it is done. Meanwhile the
// connection belongs to whoever does the work, who may read and write it like any
// net.Conn, on a goroutine that blocks.
//
// It exists on Linux; elsewhere Start fails.
package eventloop

// Next is what becomes of a connection once its Input has returned.
type Next uint8

const (
	// Idle says that the connection waits for its client.
	Idle Next = iota
	// Busy says that it is worked on. Rest has to be called once that is done.
	Busy
)

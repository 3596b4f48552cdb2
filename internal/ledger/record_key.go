package ledger

// RecordKey returns the idempotency key of a journal row, empty if its command
// has none, without decoding the rest. It aliases row.
func RecordKey(row []byte) ([]byte, error) {
	in := reader{src: row}
	in.byte("code")
	in.src = in.bytes("command")
	in.byte("kind")
	in.byte("flags")
	key := in.bytes("key")
	return key, in.err
}

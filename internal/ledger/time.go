package ledger

// Micros is log time: microseconds since the Unix epoch, UTC. The proposer
// stamps one on every log entry, strictly increasing along the log; the domain
// compares expiries with it and never asks a clock.
type Micros int64

// Second is one second of log time.
const Second Micros = 1_000_000

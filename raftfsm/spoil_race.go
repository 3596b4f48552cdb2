//go:build race

package raftfsm

// spoilReleased has arenas overwritten when they are released. A build that looks for
// data races looks for late readers of them, too.
const spoilReleased = true

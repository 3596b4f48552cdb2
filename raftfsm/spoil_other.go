//go:build !race

package raftfsm

const spoilReleased = false

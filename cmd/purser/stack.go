package main

import (
	"errors"

	"purser/engine"
	"purser/raftfsm"
)

// stack is the server without its listeners: a node, and the engine on it.
type stack struct {
	node   *raftfsm.Node
	engine *engine.Engine
}

func openStack(cfg raftfsm.Config, opts engine.Options) (*stack, error) {
	node, err := raftfsm.Open(cfg)
	if err != nil {
		return nil, err
	}
	opts.Log, opts.Format = nodeLog{node}, node.State().Format
	eng, err := engine.New(opts)
	if err != nil {
		return nil, errors.Join(err, node.Close())
	}
	return &stack{node: node, engine: eng}, nil
}

// close answers what was accepted, then stops the node, then the engine, which
// the node owes the answers to its last proposals.
func (s *stack) close() error {
	s.engine.Drain()
	err := s.node.Close()
	s.engine.Close()
	return err
}

// nodeLog is a Node as the engine's log.
type nodeLog struct{ *raftfsm.Node }

var _ engine.Log = nodeLog{}

// Propose hands one entry to raft.
func (l nodeLog) Propose(entry []byte) engine.Proposal { return l.Node.Propose(entry) }

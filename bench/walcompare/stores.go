package main

import (
	"io"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	raftwal "github.com/hashicorp/raft-wal"

	"purser/wal"
)

// store is one contender. open returns a log in an empty directory that is
// durable when StoreLogs returns.
type store struct {
	name string
	open func(dir string) (raft.LogStore, io.Closer, error)
}

// stores has ours first; the others are compared with it.
var stores = []store{
	{name: "wal", open: func(dir string) (raft.LogStore, io.Closer, error) {
		l, err := wal.Open(wal.Options{Dir: dir})
		return l, l, err
	}},
	{name: "raft-wal", open: func(dir string) (raft.LogStore, io.Closer, error) {
		l, err := raftwal.Open(dir)
		return l, l, err
	}},
	{name: "boltdb", open: func(dir string) (raft.LogStore, io.Closer, error) {
		l, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db"), NoSync: false})
		return l, l, err
	}},
}

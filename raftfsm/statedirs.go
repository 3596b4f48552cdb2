package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// stateDirs are the directories that have held the state: state-1, then
// state-2 after the first restore, and so on. The one with the highest number is
// the state. A restored one appears under its name by one rename, whole.
type stateDirs struct {
	fs     vfs.FS
	root   string
	newest int // format that the node reads
}

const (
	statePrefix = "state-"
	incoming    = "incoming.tmp"
)

// current returns the directory of the state and removes what an interrupted
// restore left behind.
func (d stateDirs) current() (string, error) {
	if err := d.fs.MkdirAll(d.root, 0o755); err != nil {
		return "", fmt.Errorf("open state: %w", err)
	}
	numbers, err := d.numbers()
	if err != nil {
		return "", err
	}
	newest := uint64(1)
	for _, n := range numbers {
		newest = max(newest, n)
	}
	dir := d.path(newest)
	return dir, d.removeOthers(dir)
}

// receive unpacks a snapshot stream into a fresh directory, durably, and makes
// it the newest state. Nothing is opened.
func (d stateDirs) receive(stream io.Reader) (dir string, meta Meta, err error) {
	numbers, err := d.numbers()
	if err != nil {
		return "", meta, err
	}
	next := uint64(2)
	for _, n := range numbers {
		next = max(next, n+1)
	}
	tmp := d.fs.PathJoin(d.root, incoming)
	if err := d.fs.RemoveAll(tmp); err != nil {
		return "", meta, fmt.Errorf("receive state: %w", err)
	}
	if meta, err = unpackTar(d.fs, stream, tmp, d.newest); err != nil {
		return "", meta, err
	}
	dir = d.path(next)
	if err := d.fs.Rename(tmp, dir); err != nil {
		return "", meta, fmt.Errorf("receive state: %w", err)
	}
	return dir, meta, syncPath(d.fs, d.root)
}

// removeOthers removes every state but keep.
func (d stateDirs) removeOthers(keep string) error {
	numbers, err := d.numbers()
	if err != nil {
		return err
	}
	faults := []error{d.fs.RemoveAll(d.fs.PathJoin(d.root, incoming))}
	for _, n := range numbers {
		if dir := d.path(n); dir != keep {
			faults = append(faults, d.fs.RemoveAll(dir))
		}
	}
	return errors.Join(faults...)
}

func (d stateDirs) numbers() ([]uint64, error) {
	names, err := d.fs.List(d.root)
	if err != nil {
		return nil, fmt.Errorf("list states: %w", err)
	}
	var numbers []uint64
	for _, name := range names {
		digits, ok := strings.CutPrefix(name, statePrefix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("list states: %s is not a state's directory", name)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func (d stateDirs) path(n uint64) string {
	return d.fs.PathJoin(d.root, statePrefix+strconv.FormatUint(n, 10))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"purser/raftfsm"
)

// The commands in this file work on a backup, a file or a snapshot's directory,
// without a server.

// backupError gives the exit code that fits to an error about a backup.
func backupError(err error) error {
	switch {
	case errors.Is(err, raftfsm.ErrBooks):
		return &exitError{code: exitBooks, err: err}
	case errors.Is(err, raftfsm.ErrSnapshotDamaged), errors.Is(err, raftfsm.ErrStreamMalformed):
		return &exitError{code: exitStorage, err: err}
	}
	return err
}

// storageFailed ends a command whose files cannot be written.
func storageFailed(err error) {
	fmt.Fprintln(os.Stderr, "purser: storage failed:", err)
	os.Exit(exitStorage)
}

func stateBytes(m raftfsm.Meta) (bytes int64) {
	for _, f := range m.Files {
		bytes += f.Size
	}
	return bytes
}

type backupMember struct {
	ID       string `json:"id"`
	RaftAddr string `json:"raft_addr"`
	Voter    bool   `json:"voter"`
}

// backupView is what a backup says about itself.
type backupView struct {
	ID        string                  `json:"id"`
	Index     uint64                  `json:"index"`
	Term      uint64                  `json:"term"`
	CreatedAt time.Time               `json:"created_at"`
	Members   []backupMember          `json:"members"` // when it was taken
	Accounts  uint64                  `json:"accounts"`
	LastSeq   uint64                  `json:"last_seq"`
	Totals    []raftfsm.CurrencyTotal `json:"totals"`
	Digest    string                  `json:"digest"`
	Bytes     int64                   `json:"bytes"`
	Files     []raftfsm.SnapshotFile  `json:"files"`
}

func viewBackup(m raftfsm.Meta) backupView {
	v := backupView{
		ID: m.ID, Index: m.Index, Term: m.Term, CreatedAt: m.CreatedAt,
		Accounts: m.Stats.Accounts, LastSeq: m.Stats.LastSeq, Totals: append([]raftfsm.CurrencyTotal{}, m.Stats.Totals...), Digest: m.Stats.Digest,
		Bytes: stateBytes(m), Files: m.Files, Members: []backupMember{},
	}
	for _, s := range m.Configuration.Servers {
		v.Members = append(v.Members, backupMember{string(s.ID), string(s.Address), s.Suffrage.String() == "Voter"})
	}
	return v
}

func (v *backupView) table(w io.Writer) {
	fmt.Fprintf(w, "id\t%s\nindex\t%d\nterm\t%d\ncreated\t%s\n", v.ID, v.Index, v.Term, v.CreatedAt.Format(time.RFC3339))
	for _, m := range v.Members {
		fmt.Fprintf(w, "member\t%s\traft=%s\tvoter=%t\n", m.ID, m.RaftAddr, m.Voter)
	}
	fmt.Fprintf(w, "accounts\t%d\nlast seq\t%d\ndigest\t%s\n", v.Accounts, v.LastSeq, v.Digest)
	for _, t := range v.Totals {
		fmt.Fprintf(w, "total\t%s\tposted=%s\theld=%s\tissued=%s\n", t.Currency, t.Posted, t.Held, t.Issued)
	}
	fmt.Fprintf(w, "bytes\t%d\n", v.Bytes)
	for _, f := range v.Files {
		fmt.Fprintf(w, "file\t%s\t%d bytes\tcrc32c=%08x\n", f.Name, f.Size, f.CRC32C)
	}
}

func inspectCommand() *cobra.Command {
	var p printer
	cmd := &cobra.Command{
		Use:   "inspect FILE|DIR",
		Short: "Show what a downloaded snapshot, or a snapshot's directory, says about itself",
		Args:  oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.validate(); err != nil {
				return err
			}
			m, err := raftfsm.Inspect(vfs.Default, args[0])
			if err != nil {
				return backupError(err)
			}
			v := viewBackup(m)
			return p.printView(cmd.OutOrStdout(), &v)
		},
	}
	p.bind(cmd)
	return cmd
}

// checkedView is the outcome of verifying a backup whose bytes are right.
type checkedView struct {
	OK    bool        `json:"ok"`
	ID    string      `json:"id"`
	Index uint64      `json:"index"`
	Files int         `json:"files"`
	Bytes int64       `json:"bytes"`
	Books *verifyView `json:"books,omitempty"` // with --deep
}

func (v *checkedView) table(w io.Writer) {
	fmt.Fprintf(w, "id\t%s\nindex\t%d\nfiles\t%d\nbytes\t%d\tall as they were saved\n", v.ID, v.Index, v.Files, v.Bytes)
	if v.Books != nil {
		v.Books.table(w)
	}
}

func verifyBackupCommand() *cobra.Command {
	var p printer
	var deep bool
	var scratch string
	cmd := &cobra.Command{
		Use:   "verify FILE|DIR",
		Short: "Check every byte of a downloaded snapshot, or of a snapshot's directory",
		Args:  oneArg,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := p.validate(); err != nil {
				return err
			}
			v := checkedView{OK: true}
			var m raftfsm.Meta
			if deep {
				m, v.Books, err = auditBackup(cmd.Context(), args[0], scratch)
			} else {
				m, err = raftfsm.Verify(cmd.Context(), vfs.Default, args[0])
			}
			if err != nil {
				return backupError(err)
			}
			v.ID, v.Index, v.Files, v.Bytes = m.ID, m.Index, len(m.Files), stateBytes(m)
			if !deep {
				return p.printView(cmd.OutOrStdout(), &v)
			}
			v.OK = v.Books.OK
			if err := p.printView(cmd.OutOrStdout(), &v); err != nil {
				return err
			}
			return v.Books.verdict()
		},
	}
	p.bind(cmd)
	cmd.Flags().BoolVar(&deep, "deep", false, "unpack a copy, too, and check every account, row and idempotency key in it against the journal")
	cmd.Flags().StringVar(&scratch, "temp-dir", os.TempDir(), "directory for that copy, which is as large as the snapshot")
	return cmd
}

// auditBackup verifies the backup at path, and the books in a copy of it below
// scratch, which it removes.
func auditBackup(ctx context.Context, path, scratch string) (m raftfsm.Meta, books *verifyView, err error) {
	dir, err := os.MkdirTemp(scratch, "purser-verify-")
	if err != nil {
		return m, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m, report, err := raftfsm.Audit(ctx, vfs.Default, path, dir, storageFailed)
	if err != nil {
		return m, nil, err
	}
	books = &verifyView{
		OK: report.OK, Index: report.Index, Rows: report.Rows, Faults: append([]string{}, report.Faults...), FaultCount: report.FaultCount,
		Currencies: make(map[string]currencyView, len(report.Currencies)),
	}
	for _, c := range report.Currencies {
		books.Currencies[c.Currency.String()] = currencyView{Accounts: c.Accounts, Sum: c.Sum.String()}
	}
	return m, books, nil
}

// restoredView is a data directory that was made of a backup.
type restoredView struct {
	backupView
	DataDir   string `json:"data_dir"`
	NodeID    string `json:"node_id"`
	RaftAddr  string `json:"raft_addr"`
	Retention string `json:"idempotency_retention"`
}

func (v *restoredView) table(w io.Writer) {
	fmt.Fprintf(w, "data dir\t%s\nnode\t%s\traft=%s\nindex\t%d\nterm\t%d\naccounts\t%d\nlast seq\t%d\ndigest\t%s\nretention\t%s\n",
		v.DataDir, v.NodeID, v.RaftAddr, v.Index, v.Term, v.Accounts, v.LastSeq, v.Digest, v.Retention)
}

func restoreCommand() *cobra.Command {
	var p printer
	cfg := raftfsm.RestoreConfig{Shards: runtime.GOMAXPROCS(0), Fatal: storageFailed}
	var listen string
	cmd := &cobra.Command{
		Use:   "restore FILE|DIR --data-dir DIR --node-id ID",
		Short: "Make a data directory of a snapshot, for a new cluster of one node",
		Args:  oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.Backup = args[0]
			addresses := "--raft-listen " + listen
			if cfg.RaftAddr == "" {
				cfg.RaftAddr = listen
			} else {
				addresses += " --raft-advertise " + cfg.RaftAddr
			}
			if err := errors.Join(p.validate(), asUsage(cfg.Validate())); err != nil {
				return err
			}
			r, err := raftfsm.Restore(cmd.Context(), cfg)
			if err != nil {
				return backupError(err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "start it with: purser server --data-dir %s --node-id %s %s --idempotency-retention %s\n",
				cfg.DataDir, cfg.NodeID, addresses, r.Retention)
			return p.printView(cmd.OutOrStdout(), &restoredView{viewBackup(r.Meta), cfg.DataDir, cfg.NodeID, cfg.RaftAddr, r.Retention.String()})
		},
	}
	p.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&cfg.DataDir, "data-dir", "", "directory to make, or an empty one")
	f.StringVar(&cfg.NodeID, "node-id", "", "name of the node")
	f.StringVar(&listen, "raft-listen", "127.0.0.1:8082", "address for nodes that join later, as the server will have it")
	f.StringVar(&cfg.RaftAddr, "raft-advertise", "", "the same as those nodes see it (default: that of --raft-listen)")
	return cmd
}

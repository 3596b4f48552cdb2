package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

type snapshotView struct {
	ID        string    `json:"id"`
	Index     uint64    `json:"index"`
	Term      uint64    `json:"term"`
	Bytes     int64     `json:"bytes"`
	CreatedAt time.Time `json:"created_at"`
}

func (s snapshotView) row(w io.Writer) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", s.ID, s.Index, s.Term, s.Bytes, s.CreatedAt.Format(time.RFC3339))
}

const snapshotHead = "ID\tINDEX\tTERM\tBYTES\tCREATED\n"

func (s snapshotView) table(w io.Writer) {
	fmt.Fprint(w, snapshotHead)
	s.row(w)
}

func snapshotCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "snapshot",
		Short: "Take, keep, check and restore snapshots",
	})
	cmd.AddCommand(
		saveCommand(), listCommand(), downloadCommand(), // of a running server
		inspectCommand(), verifyBackupCommand(), restoreCommand(),
	)
	return cmd
}

func saveCommand() *cobra.Command {
	var c adminClient
	var d download
	cmd := &cobra.Command{
		Use:   "save",
		Short: "Take a snapshot now, and with --out download and verify it",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.path != "" {
				if err := d.vacant(); err != nil {
					return err
				}
			}
			var s snapshotView
			body, err := c.call(cmd.Context(), http.MethodPost, "/admin/v1/snapshots", &s)
			if err != nil {
				return err
			}
			if d.path != "" {
				if _, err := d.run(cmd.Context(), &c, s.ID); err != nil {
					return err
				}
				fmt.Fprintln(cmd.ErrOrStderr(), "verified and saved as", d.path)
			}
			return c.print(cmd.OutOrStdout(), body, s.table)
		},
	}
	c.bind(cmd)
	d.bind(cmd)
	return cmd
}

func listCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the snapshots that the server keeps",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out struct {
				Snapshots []snapshotView `json:"snapshots"`
			}
			body, err := c.call(cmd.Context(), http.MethodGet, "/admin/v1/snapshots", &out)
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), body, func(w io.Writer) {
				fmt.Fprint(w, snapshotHead)
				for _, s := range out.Snapshots {
					s.row(w)
				}
			})
		},
	}
	c.bind(cmd)
	return cmd
}

func downloadCommand() *cobra.Command {
	var c adminClient
	var d download
	cmd := &cobra.Command{
		Use:   "download ID --out FILE",
		Short: "Download and verify a snapshot that the server keeps",
		Args:  oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.validate(); err != nil {
				return err
			}
			if d.path == "" {
				return usage(fmt.Errorf("--out is required"))
			}
			m, err := d.run(cmd.Context(), &c, args[0])
			if err != nil {
				return err
			}
			return c.printView(cmd.OutOrStdout(), snapshotView{m.ID, m.Index, m.Term, stateBytes(m), m.CreatedAt})
		},
	}
	c.bind(cmd)
	d.bind(cmd)
	return cmd
}
